"""`modelmgmt demo`, for real: it trains, keeps, compares, and writes a picture and a page."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import modelmgmt as mm

pytest.importorskip("sklearn")
pytest.importorskip("skops")

BIN = Path(sys.executable).parent / "modelmgmt"


def test_the_demo(tmp_path):
    environment = {**os.environ, "COLUMNS": "200"}
    done = subprocess.run([BIN, "demo"], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr

    curves, page = (Path(re.search(rf"^{name}: +(.+)$", done.stdout, re.MULTILINE)[1]) for name in ("Curves", "Report"))
    assert curves.read_bytes().startswith(b"\x89PNG")
    assert "<html" in page.read_text("utf-8")
    assert curves.parent == page.parent == tmp_path

    store = mm.Store()
    assert str(store.path) in done.stdout
    runs = store.runs(order_by="-metrics.`test/accuracy`")
    assert len(runs) == 12
    assert {run.status for run in runs} == {"finished"}
    assert {run.experiment for run in runs} == {"demo/breast-cancer", "demo/digits"}
    assert runs[0].metrics["test/accuracy"] > 0.95
    for run in runs:
        assert sorted(run.artifacts) == ["confusion.png", "model"]
        assert mm.load_model(f"run:{run.id}/model", trust=False).check_example() == ""
        assert all(len(run.series(key)) == 25 for key in ("train/loss", "test/loss", "test/accuracy"))
        assert run.name in done.stdout
    assert len({version for run in runs for version in run.datasets.values()}) == 2, "the data of each set is kept once"
    assert len(next(iter(runs[0].datasets.values())).load()) in (569, 1797)
    assert store.check(deep=True) == []

    for line in re.search(r"Now try:\n((?:  .+\n)+)", done.stdout)[1].splitlines():
        suggested = subprocess.run(
            f"{BIN.parent}/{line.strip()}", shell=True, capture_output=True, text=True, check=False
        )
        assert suggested.returncode == 0, line
    best = re.search(r"Best run: (\S+) ", done.stdout)[1]
    shown = subprocess.run([BIN, "runs", "show", best, "--json"], capture_output=True, text=True, check=True)
    assert json.loads(shown.stdout)["status"] == "finished"
