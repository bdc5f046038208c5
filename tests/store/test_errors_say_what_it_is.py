"""What a disk or a system refuses is told as what it is: a long path is not about permissions, a limit is no broken disk."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import textwrap

import pytest

import modelmgmt as mm
from modelmgmt.errors import CorruptDataError, StorePathError
from modelmgmt.store.disk import hint


def long_folder(tmp_path, size):
    """A folder whose path has so many bytes."""
    path = tmp_path
    while (left := size - len(os.fsencode(path)) - 1) > 0:
        path = path / ("d" * (left if left < 200 else min(180, left - 2)))
    return path


@pytest.mark.parametrize("size", [520, 700, 1500, 3000])
def test_a_store_whose_path_sqlite_does_not_open_is_not_begun(tmp_path, size):
    path = long_folder(tmp_path, size)
    with pytest.raises(StorePathError, match=r"bytes long, and SQLite opens paths of up to 504: choose a shorter one"):
        mm.Store(path)
    assert list(tmp_path.iterdir()) == []


def test_a_path_of_almost_that_length_is_a_store(tmp_path):
    path = long_folder(tmp_path, 504 - len("/store.db"))
    with mm.Store(path) as store, store.start_run("a") as run:
        run.log(loss=1.0)
    assert mm.Store(path).check() == []


def test_a_store_that_was_moved_too_deep_says_so(tmp_path):
    mm.Store(tmp_path / "store").close()
    path = long_folder(tmp_path, 600)
    path.parent.mkdir(parents=True)
    (tmp_path / "store").rename(path)
    with pytest.raises(StorePathError, match="choose a shorter one"):
        mm.Store(path)


@pytest.mark.parametrize("name", ["n" * 300, "é" * 200, "a/" * 3000 + "x"])
def test_a_file_with_a_name_that_is_too_long_is_not_there(store, name):
    with store.start_run("a") as run, pytest.raises(FileNotFoundError, match="nothing was logged"):
        run.log_artifact(name, "x")


def test_a_limit_on_the_size_of_files_is_named(tmp_path):
    pytest.importorskip("resource")
    script = """
        import resource, warnings
        import modelmgmt as mm
        store = mm.Store("store")
        run = store.start_run("a", on_error="raise", code=False)
        resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
        def told(call):
            try:
                call()
            except mm.errors.StoreError as error:
                print(error)
        told(lambda: run.log_params({f"p{place}": "x" * 1000 for place in range(1000)}))
        told(lambda: run.log_artifact(b"x" * 1_000_000, "a"))
        told(lambda: [run.log(loss=step) for step in range(1000)])
        os._exit(0)
    """
    code = "import os\n" + textwrap.dedent(script)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=False)
    lines = done.stdout.splitlines()
    assert len(lines) == 3, done.stdout + done.stderr
    assert "may not write files of more than 10,000 bytes (see 'ulimit -f')" in lines[0]
    assert "ulimit -f" in lines[1]
    assert "system log" not in lines[1]
    with mm.Store(tmp_path / "store") as store:
        assert [problem.kind for problem in store.check(deep=True)] == []


@pytest.mark.parametrize("number", sorted(errno.errorcode))
def test_no_error_of_the_system_is_about_permissions_but_those_that_are(number):
    said = hint(OSError(number, os.strerror(number)))
    assert said
    assert ("its owner and its mode" in said) == (number in (errno.EACCES, errno.EPERM))


CONTENTS = {
    "deep list": b"[" * 200_000, "deep mapping": b'{"a":' * 100_000, "cut": b'{"a": 1', "empty": b"",
    "not text": b"\xff\xfe\x00",
    "a number": b"1" * 100_000, "another type": b"7", "png": b"\x89PNG\r\n\x1a\n", "parquet": b"PAR1" + b"x" * 50 + b"PAR1",
}  # fmt: skip
NAMES = {"dict": ["d.json", "d.yaml"], "table": ["t.json", "t.csv", "t.parquet"], "image": ["i.png"], "text": ["t.txt"]}


@pytest.mark.parametrize("content", CONTENTS)
@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind, names in NAMES.items() for name in names])
def test_a_broken_artifact_is_named_and_the_others_load(store, kind, name, content):
    """Of a store of somebody else: the bytes are as their digest says, and no value of that kind."""
    from modelmgmt.store.rows import row_crc

    with store.start_run("a") as run:
        run.log_artifact(CONTENTS[content], name)
        run.log_text("whole", "other.txt")
    with store._kernel.database.writing() as connection:
        connection.execute("UPDATE artifacts SET kind = ? WHERE name = ?", (kind, name))
        columns = [row[1] for row in connection.execute("PRAGMA table_info(artifacts)")]
        row = connection.execute("SELECT * FROM artifacts WHERE name = ?", (name,)).fetchone()
        values = tuple(value for column, value in zip(columns, row, strict=True) if column != "crc")
        connection.execute("UPDATE artifacts SET crc = ? WHERE name = ?", (row_crc("artifacts", values), name))
    found = store.runs[run.id].artifact(name)
    try:
        found.load()  # some of these are values of some kinds: a number is YAML, an empty file is text
    except CorruptDataError as error:
        assert name in str(error)  # noqa: PT017 - not raised by all
    assert found.read_bytes() == CONTENTS[content]
    assert run.artifact("other.txt").load() == "whole"
