"""Nothing that a pickle brings is run: not by the look into it, not by the restricted reader."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

pytest.importorskip("sklearn")
pytest.importorskip("torch")

from payloads import PAYLOADS  # noqa: E402

from modelmgmt.errors import ModelmgmtError  # noqa: E402
from modelmgmt.models.trust.opcodes import read_opcodes  # noqa: E402
from modelmgmt.models.trust.pickle_reader import load_restricted  # noqa: E402

TITLES = sorted(PAYLOADS)


def happened(marker):
    """A folder or file of that name, or one that begins so: some add an ending."""
    ours = {".bin", ".error"}
    return any(path.name == marker.name or path.suffix not in ours for path in marker.parent.glob(f"{marker.name}*"))


@pytest.fixture(scope="module")
def live(tmp_path_factory):
    """What each payload did in a process of its own, loaded as its victims load it."""
    folder = tmp_path_factory.mktemp("live")
    for number, title in enumerate(TITLES):
        loader, make = PAYLOADS[title]
        marker = folder / f"{number:03}"
        (folder / f"{number:03}.bin").write_bytes(loader.encode() + b"\n" + make(str(marker)))
    subprocess.run(
        [sys.executable, "-W", "ignore", str(HERE / "payloads.py"), str(folder)],
        check=True, timeout=1700, env={**os.environ, "PYTHONPATH": str(HERE)},
    )  # fmt: skip
    return folder


def test_there_are_enough():
    assert len(PAYLOADS) >= 80


@pytest.mark.parametrize("title", TITLES)
def test_is_live_and_does_not_run(title, live, tmp_path, monkeypatch):
    place = live / f"{TITLES.index(title):03}"
    error = place.with_suffix(".error")
    assert happened(place), (
        f"the payload does nothing, so it proves nothing: {error.read_text() if error.exists() else ''}"
    )

    marker = tmp_path / "marker"
    data = PAYLOADS[title][1](str(marker))
    assert not happened(marker)
    modules = set(sys.modules)
    inspection = read_opcodes(data)
    assert not [name for name in set(sys.modules) - modules if not name.startswith("encodings.")], (
        "a look imports nothing"
    )
    assert inspection.reasons, "a look must warn"
    if title == "joblib, read with pickle":
        assert type(load_restricted(data)).__name__ == "ndarray", "the instructions are the bytes of an array here"
    else:
        with pytest.raises(ModelmgmtError):
            load_restricted(data)
    assert not happened(marker)
