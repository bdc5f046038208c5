"""The environment of a run: what is installed where, kept once, compared, exported."""

from __future__ import annotations

import importlib.metadata
import json
import os
import sys
import tomllib
from pathlib import Path

import pytest

import modelmgmt as mm
from modelmgmt.errors import CorruptDataError, InvalidValueError
from modelmgmt.versions import distributions, environment, hardware, venv
from modelmgmt.versions.distributions import Distribution, installed
from modelmgmt.versions.environment import Change, Environment


def make(*found: Distribution, python: str = "3.12.1") -> Environment:
    return Environment(python, {"system": "Linux", "machine": "x86_64"}, {"cpu": "a", "gpus": []}, found)


def dist_info(folder: Path, name: str, version: str, origin: dict | None = None) -> None:
    place = folder / f"{name}-{version}.dist-info"
    place.mkdir(parents=True)
    (place / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n\nName: wrong\n")
    if origin is not None:
        (place / "direct_url.json").write_text(json.dumps(origin))


# -- what is installed -------------------------------------------------------------------------------------------------


def test_it_says_what_it_is():
    assert (
        repr(make(Distribution("a", "2.0"), Distribution("b", "1.0")))
        == "<Environment of Python 3.12.1, 2 distributions>"
    )


def test_the_same_as_the_standard_library_finds():
    expected: dict[str, str] = {}
    for each in importlib.metadata.distributions():
        expected.setdefault(Distribution(each.metadata["Name"], "").key, each.version)
    assert {each.key: each.version for each in installed()} == expected


@pytest.mark.parametrize(
    ("direct_url", "origin"),
    [
        ({"url": "https://me:pw@example.org/a.git", "vcs_info": {"vcs": "git", "commit_id": "abc"}},
         "git+https://example.org/a.git@abc"),
        ({"url": "file:///home/a", "dir_info": {"editable": True}}, "file:///home/a (editable)"),
        ({"url": "file:///home/a", "dir_info": {}}, "file:///home/a"),
        ({"url": "https://example.org/a.whl", "archive_info": {}}, "https://example.org/a.whl"),
        ({"nothing": 1}, None),
        ([], None),
        (None, None),
    ],
)  # fmt: skip
def test_origins(tmp_path, direct_url, origin):
    dist_info(tmp_path, "a", "1.0", direct_url)
    assert installed([str(tmp_path)]) == (Distribution("a", "1.0", origin),)


def test_odd_folders(tmp_path):
    dist_info(tmp_path / "first", "Some.Name", "2")
    dist_info(tmp_path / "second", "some-name", "1")
    (tmp_path / "first" / "empty-1.dist-info").mkdir()
    (tmp_path / "first" / "old.egg-info").write_text("Name: old\nVersion: 0.1\n")
    (tmp_path / "first" / "folder.egg-info").mkdir()
    (tmp_path / "first" / "folder.egg-info" / "PKG-INFO").write_bytes(b"Name: folder\nVersion: 3\nSummary: \xff\n")
    found = installed([str(tmp_path / name) for name in ("first", "second", "gone")])
    assert [(each.name, each.version) for each in found] == [("folder", "3"), ("old", "0.1"), ("Some.Name", "2")]


def test_the_signature_changes_with_what_is_installed(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    os.utime(tmp_path, (1, 1))  # the folder is hardly older than a tick of the kernel's clock
    before = distributions.signature()
    dist_info(tmp_path, "a", "1")
    assert distributions.signature() != before


def test_hardware_says_what_the_system_says():
    found = hardware.describe()
    assert found["cores"] >= 1
    assert found["memory_bytes"] > 1 << 28
    assert isinstance(found["gpus"], list)
    assert found["cpu"]


# -- kept --------------------------------------------------------------------------------------------------------------


def test_a_run_has_its_environment_and_runs_share_it(store):
    runs = []
    for _ in range(3):
        with store.start_run() as run:
            run.log(loss=1)
        runs.append(run)
    found = runs[0].environment
    assert found == environment.here()
    assert "pytest" in {each.key for each in found.distributions}
    with store._kernel.database.reading() as connection:
        digests = connection.execute("SELECT DISTINCT digest FROM run_environments").fetchall()
        count = connection.execute("SELECT count(*) FROM run_environments").fetchone()
    assert (len(digests), count) == (1, (3,))
    assert Environment._decode(found._encode()) == found


def test_a_second_process_need_not_look_again(project):
    project.write("train.py", "import modelmgmt as mm\nwith mm.start_run('e'): pass\n")
    project.write("other.py", "")
    first = project.run("train.py")
    look = (
        "import modelmgmt as mm\nfrom modelmgmt.versions import environment\n"
        "def here(): raise SystemExit('looked again')\nenvironment.here = here\nwith mm.start_run('e'): pass\n"
    )
    project.write("train.py", look)
    second = project.run("train.py")
    assert second.environment == first.environment


def test_what_is_installed_meanwhile_is_seen_by_the_next_process(project, tmp_path):
    project.write("train.py", "import modelmgmt as mm\nwith mm.start_run('e'): pass\n")
    (tmp_path / "extra").mkdir()
    path = {"PYTHONPATH": f"{Path(mm.__file__).parents[1]}:{tmp_path / 'extra'}"}
    before = project.run("train.py", **path)
    dist_info(tmp_path / "extra", "Fresh_One", "1.0")
    after = project.run("train.py", **path)
    assert before.environment.diff(after.environment) == (Change("distributions", "fresh-one", None, "1.0"),)


def test_a_deleted_run_takes_its_environment_along(store):
    with store.start_run() as run:
        pass
    store.delete_run(run)
    with store.start_run() as run:
        pass
    assert run.environment is not None
    assert store.check(deep=True) == []


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b'{"format": "other"}', b'{"format": "modelmgmt.environment/1"}'])
def test_bytes_that_are_no_environment(data):
    with pytest.raises(CorruptDataError, match="an environment is damaged"):
        Environment._decode(data)


# -- compared, exported ------------------------------------------------------------------------------------------------


def test_diff_and_requirements():
    a = make(Distribution("A", "1"), Distribution("b", "1", "git+https://example.org/b@c"), Distribution("z", "1"))
    b = make(Distribution("a", "2"), Distribution("b", "1"), Distribution("new", "1"), python="3.13.0")
    assert a.diff(a) == ()
    assert a.diff(b) == (
        Change("python", "version", "3.12.1", "3.13.0"),
        Change("distributions", "a", "1", "2"),
        Change("distributions", "b", "1 from git+https://example.org/b@c", "1"),
        Change("distributions", "new", None, "1"),
        Change("distributions", "z", "1", None),
    )
    local = make(Distribution("mine", "0.1", "file:///home/mine (editable)"), Distribution("a", "1"))
    assert a.requirements().splitlines()[1:] == ["A==1", "b @ git+https://example.org/b@c", "z==1"]
    assert local.requirements().splitlines()[1].startswith("# mine==0.1 was installed from file:")


def test_pylock_says_what_is_missing(monkeypatch):
    monkeypatch.setattr(environment, "find_uv", lambda: None)
    with pytest.raises(InvalidValueError, match="uv is not installed"):
        make(Distribution("a", "1")).pylock()


def test_pylock_says_what_uv_said(monkeypatch):
    pytest.importorskip("uv")
    monkeypatch.setenv("UV_OFFLINE", "1")
    monkeypatch.setenv("UV_NO_CACHE", "1")
    with pytest.raises(InvalidValueError, match="asks the package index"):
        make(Distribution("a", "1")).pylock()


def test_pylock_of_an_environment_that_violates_its_own_metadata(monkeypatch, tmp_path):
    """From a folder of wheels, so that no network is needed: b wants a>=2, and a 1 is installed."""
    pytest.importorskip("uv")
    wheel(tmp_path, "a", "1.0")
    wheel(tmp_path, "b", "1.0", requires="a>=2")
    monkeypatch.setenv("UV_NO_INDEX", "1")
    monkeypatch.setenv("UV_FIND_LINKS", str(tmp_path))
    monkeypatch.setenv("UV_OFFLINE", "1")
    content = tomllib.loads(make(Distribution("a", "1.0"), Distribution("b", "1.0")).pylock())
    assert content["lock-version"] == "1.0"
    assert [(each["name"], each["version"]) for each in content["packages"]] == [("a", "1.0"), ("b", "1.0")]
    assert all(each["wheels"] for each in content["packages"])


def test_an_environment_is_built_again(monkeypatch, tmp_path):
    pytest.importorskip("uv")
    wheel(tmp_path / "wheels", "a", "1.0")
    wheel(tmp_path / "wheels", "b", "1.0", requires="a>=2")
    monkeypatch.setenv("UV_NO_INDEX", "1")
    monkeypatch.setenv("UV_FIND_LINKS", str(tmp_path / "wheels"))
    monkeypatch.setenv("UV_OFFLINE", "1")
    version = ".".join(map(str, sys.version_info[:3]))
    gone = Distribution("gone", "1", "file:///nowhere")
    wanted = make(Distribution("a", "1.0"), Distribution("b", "1.0"), gone, python=version)
    python, left_out = venv.build(wanted, tmp_path / "built")
    assert [text.split()[0] for text in left_out] == ["gone"]
    [site] = (tmp_path / "built" / "lib").glob("*/site-packages")
    assert [(each.name, each.version) for each in installed([str(site)])] == [("a", "1.0"), ("b", "1.0")]
    assert Path(python).exists()


def wheel(folder: Path, name: str, version: str, requires: str | None = None) -> None:
    """A wheel with one module."""
    import zipfile

    folder.mkdir(parents=True, exist_ok=True)
    info = f"{name}-{version}.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    files = {
        f"{name}.py": "x = 1\n",
        f"{info}/METADATA": metadata + (f"Requires-Dist: {requires}\n" if requires else ""),
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: a\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{path},,\n" for path in (*files, f"{info}/RECORD"))
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as archive:
        for path, text in {**files, f"{info}/RECORD": record}.items():
            archive.writestr(path, text)
