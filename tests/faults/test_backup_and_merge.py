"""A backup of a store that is written, and two stores that become one."""

from __future__ import annotations

import os
import sqlite3
import time
from pathlib import Path

import numpy as np
import pytest
from workload import forked, many_files, read_all, take_stock

import modelmgmt as mm
from modelmgmt.errors import CorruptDataError, InvalidValueError, StoreWriteError


def test_a_backup_while_others_write_has_all_from_before_it(tmp_path):
    path, marks = tmp_path / "store", tmp_path / "marks"
    mm.Store(path).close()

    def write(number: int) -> None:
        many_files()
        run = mm.Store(path).start_run("live", name=f"writer-{number}")
        step = 0
        while not (tmp_path / "done").exists():
            run.log(loss=step / 3, step=step)
            if step % 40 == 0:
                run.log_text(f"{step}", f"text-{step}")
                (marks.with_name(f"marks-{number}")).write_text(f"{step}")
            step += 1
        run.finish()

    writers = [forked(lambda _, number=number: write(number)) for number in range(2)]
    while not all((tmp_path / f"marks-{number}").exists() for number in range(2)):
        time.sleep(0.01)
    seen = []
    store = mm.Store(path)
    for copy in range(4):
        seen.append([int((tmp_path / f"marks-{number}").read_text() or 0) for number in range(2)])
        store.backup(tmp_path / f"copy-{copy}")
    (tmp_path / "done").touch()
    for pid, pipe in writers:
        read_all(pipe)
        assert os.waitpid(pid, 0)[1] == 0
    for copy, marked in enumerate(seen):
        found = take_stock(tmp_path / f"copy-{copy}")
        assert (found["problems"], found["chain"]) == ([], None)
        for number, mark in enumerate(marked):
            run = found["runs"][f"writer-{number}"]
            steps = run["points"]["loss"][0]
            assert steps == list(range(len(steps)))
            assert len(steps) > mark
            assert run["artifacts"].get(f"text-{mark}") == f"{mark}"
    assert store.check(deep=True) == []


def test_a_backup_of_damage_is_refused(store, tmp_path):
    with store.start_run("b", name="run") as run:
        run.log_text("content", "text")
    found = store._kernel.objects.path(run.artifact("text").digest)
    found.chmod(0o644)
    found.write_text("C0ntent")
    with pytest.raises(CorruptDataError):
        store.backup(tmp_path / "copy")
    with pytest.raises(InvalidValueError, match="not an empty folder"):
        store.backup(tmp_path)


def test_a_backup_to_a_place_that_can_not_be_written(store, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises((StoreWriteError, InvalidValueError), match="file"):
        store.backup(tmp_path / "file" / "copy")


def some_runs(path: Path, names: list[str]) -> None:
    with mm.Store(path) as store:
        for name in names:
            with store.start_run("merge", name=name, params={"name": name}, tags={"of": path.name}) as run:
                run.log_series("loss", np.arange(50) / 7)
                run.log_text("the same in all", "shared")
                run.log_text(name, "own")
                run.note(name)


def state(path: Path) -> dict:
    """All that is in a store, but for the events, which tell of the merges themselves."""
    found = take_stock(path)
    assert (found["problems"], found["chain"]) == ([], None)
    return found["runs"]


def test_merging_is_idempotent_and_in_any_order(tmp_path):
    for name in "abc":
        some_runs(tmp_path / name, [f"{name}-{n}" for n in range(2)])
    wholes = []
    for order in ("abc", "cba", "bacabcc"):
        path = tmp_path / f"into-{order}"
        with mm.Store(path) as store:
            for name in order:
                store.merge(tmp_path / name)
        wholes.append(state(path))
    assert wholes[0] == wholes[1] == wholes[2]
    assert sorted(wholes[0]) == [f"{name}-{n}" for name in "abc" for n in range(2)]
    with mm.Store(tmp_path / "into-abc") as store:
        again = store.merge(tmp_path / "a")
        assert (again.runs, again.updated, again.chunks, again.objects) == ((), (), 0, 0)


def test_merging_both_ways_gives_two_equal_stores(tmp_path):
    some_runs(tmp_path / "a", ["one"])
    some_runs(tmp_path / "b", ["two"])
    with mm.Store(tmp_path / "a") as a, mm.Store(tmp_path / "b") as b:
        a.merge(b)
        b.merge(a)
    assert state(tmp_path / "a") == state(tmp_path / "b")


def test_what_was_deleted_does_not_come_back(tmp_path):
    some_runs(tmp_path / "a", ["one", "two"])
    with mm.Store(tmp_path / "b") as store:
        store.merge(tmp_path / "a")
        store.delete_run("one")
        assert store.merge(tmp_path / "a").runs == ()
        assert [run.name for run in store.runs()] == ["two"]


def test_a_backup_whose_tables_can_not_be_made_says_so(store, tmp_path, monkeypatch):
    refused = sqlite3.OperationalError("unable to open database file")
    refused.sqlite_errorcode = sqlite3.SQLITE_CANTOPEN

    def connect(*_, **__):
        raise refused

    monkeypatch.setattr("modelmgmt.store.backup.sqlite3.connect", connect)
    with pytest.raises(StoreWriteError, match=r"copy.store\.db.*can ?not be opened"):
        store.backup(tmp_path / "copy")
