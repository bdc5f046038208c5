"""A store that cannot be written can be read: read-only media, a moved folder."""

from __future__ import annotations

import hashlib
import os
import subprocess
from pathlib import Path

import pytest
from workload import forked, read_all

import modelmgmt as mm
from modelmgmt.errors import StorePathError, StoreWriteError


def _fill(path: Path) -> None:
    """A finished run, and one whose process dies with its points in the journal and its rows in the log."""

    def work(out: int) -> None:
        store = mm.Store(path)
        with store.start_run("kept", name="whole", params={"lr": 0.1}) as run:
            run.log_series("loss", [3.0, 2.0, 1.0])
            run.log_text("hello", "a.txt")
        killed = store.start_run("kept", name="killed")
        killed.log(loss=7.0)
        os.write(out, b"x")

    pid, pipe = forked(work)
    assert read_all(pipe) == b"x"
    os.waitpid(pid, 0)


def _look(store: mm.Store) -> None:
    assert [run.name for run in store.runs("metrics.loss > 0", order_by="run.id")] == ["whole", "killed"]
    assert store.runs["whole"].series("loss").values.tolist() == [3.0, 2.0, 1.0]
    assert store.runs["whole"].artifact("a.txt").read_text() == "hello"
    assert store.runs["killed"].metrics == {"loss": 7.0}
    assert store.runs["killed"].status == "crashed"
    assert store.check(deep=True) == []
    for write in (
        lambda: store.start_run("x"),
        store.gc,
        lambda: store.pin("whole", "no"),
        lambda: store.delete_run("whole"),
    ):
        with pytest.raises(StoreWriteError, match="read-only"):
            write()


def _digest(path: Path) -> dict[str, str]:
    files = sorted(file for file in path.rglob("*") if file.is_file())
    return {str(file.relative_to(path)): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def test_reading_only_writes_nothing(tmp_path):
    _fill(tmp_path / "store")
    before = _digest(tmp_path / "store")
    assert "store.db-wal" in before
    with mm.Store(tmp_path / "store", read_only=True) as store:
        _look(store)
    assert _digest(tmp_path / "store") == before


def test_without_a_write_ahead_log_it_is_read_in_place(tmp_path):
    with mm.Store(tmp_path / "store") as store, store.start_run("kept", name="whole") as run:
        run.log(loss=1.0)
    store.close()
    before = _digest(tmp_path / "store")
    with mm.Store(tmp_path / "store", read_only=True) as store:
        assert store._kernel.database.copy is None
        assert store.runs["whole"].metrics == {"loss": 1.0}
    assert _digest(tmp_path / "store") == before


@pytest.mark.skipif(os.geteuid() != 0 or not hasattr(os, "register_at_fork"), reason="mounting needs root on Linux")
def test_a_store_on_read_only_media_opens_by_itself(tmp_path):
    media = tmp_path / "media"
    media.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "tmpfs", str(media)], capture_output=True, check=False)
    if mounted.returncode:
        pytest.skip("this machine does not let a test mount a tmpfs")
    try:
        _fill(media / "store")
        subprocess.run(["mount", "-o", "remount,ro", str(media)], check=True)
        with mm.Store(media / "store") as store:
            _look(store)
    finally:
        subprocess.run(["umount", "-l", str(media)], check=True)


def test_a_store_that_was_moved_is_the_same(tmp_path):
    _fill(tmp_path / "store")
    (tmp_path / "else where").mkdir()
    (tmp_path / "store").rename(tmp_path / "else where" / "s#1?")
    with mm.Store(tmp_path / "else where" / "s#1?", read_only=True) as store:
        _look(store)
    with mm.Store(tmp_path / "else where" / "s#1?") as store:
        assert store.runs["killed"].metrics == {"loss": 7.0}


def test_nothing_to_read_is_said(tmp_path):
    with pytest.raises(StorePathError, match=r"no store|not a store"):
        mm.Store(tmp_path / "nothing", read_only=True)
    assert not (tmp_path / "nothing").exists()


def _cut_off(path: Path) -> None:
    """A shared store whose process dies in the middle of a transaction that has reached the file."""

    def work(out: int) -> None:
        os.environ["MODELMGMT_FILESYSTEM"] = "shared"
        store = mm.Store(path)
        with store.start_run("kept", name="whole") as run:
            run.log(loss=1.0)
            run.set_tags({f"t{number}": "before" for number in range(500)})
        with store._kernel.database.writing() as connection:
            connection.execute("PRAGMA cache_size = 1")  # so that pages are written before the commit
            connection.execute("PRAGMA cache_spill = 1")
            connection.execute("UPDATE tags SET value = value || ?", ("x" * 300,))
            assert (path / "store.db-journal").stat().st_size > 0
            os.write(out, b"x")
            os._exit(0)

    pid, pipe = forked(work)
    assert read_all(pipe) == b"x"
    os.waitpid(pid, 0)


def test_a_transaction_that_was_cut_off_in_a_shared_store_is_rolled_back_in_a_copy(tmp_path):
    _cut_off(tmp_path / "store")
    before = _digest(tmp_path / "store")
    assert "store.db-journal" in before
    with mm.Store(tmp_path / "store", read_only=True) as store:
        assert store.runs["whole"].tags == {f"t{number}": "before" for number in range(500)}
        assert store.runs["whole"].metrics == {"loss": 1.0}
    assert _digest(tmp_path / "store") == before
    with mm.Store(tmp_path / "store") as store:  # the one who may write takes the turn of the dead one, and rolls back
        assert store._kernel.is_shared
        assert store.runs["whole"].tags == {f"t{number}": "before" for number in range(500)}
        assert store.check(deep=True) == []


def test_everything_can_be_read_where_nothing_can_be_written(tmp_path):
    """Also versions of code and data, models, steps: what came after runs. By a user whom permissions bind."""
    with mm.Store(tmp_path / "store") as store, store.start_run("kept", name="all", params={"a": {"b": 1}}) as run:
        run.log_dataset({"x": [1, 2, 3]}, "train", keep=True)
        run.log(loss=1.0)
        run.note("a note")
    place = str(tmp_path).encode()
    named = [file for file in (tmp_path / "store").rglob("*") if file.is_file() and _names_itself(file, place)]
    assert named == []
    (tmp_path / "elsewhere").mkdir()
    moved = (tmp_path / "store").rename(tmp_path / "elsewhere" / "copy")
    with mm.Store(moved, read_only=True) as store:
        run = store.runs["all"]
        assert run.config == {"a": {"b": 1}}
        assert [note.text for note in run.notes] == ["a note"]
        [dataset] = run.datasets.values()
        assert dataset.load() is not None
        assert dataset.profile is not None
        assert run.environment.python
        assert run.code is not None
        assert store.datasets is not None
        assert "churn" not in store.models
        assert store.audit.verify() == []
        assert store.stats().object_files > 0
        assert store.check(deep=True) == []


def _names_itself(file: Path, place: bytes) -> bool:
    """Whether the path of the store itself is in a file. A command line, or the name of a script, may be elsewhere."""
    return (place + b"/store/") in file.read_bytes()
