"""What is deleted is gone from every file of the store, and only what may be deleted is."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from workload import forked, read_all

import modelmgmt as mm
from modelmgmt.errors import PinnedError, RunInUseError, StoreWriteError
from modelmgmt.tracking import deletion

SECRET = "xyzzy-0815-hidden"


def files_with(path: Path, secret: str = SECRET) -> list[str]:
    """The files below a folder that have the secret in their bytes or their names."""
    return sorted(
        str(file.relative_to(path))
        for file in path.rglob("*")
        if secret in file.name or (file.is_file() and secret.encode() in file.read_bytes())
    )


def plant(store: mm.Store, folder: Path, name: str = "victim", **options) -> mm.Run:
    """A run that has the secret wherever something can be."""
    folder.mkdir(exist_ok=True)
    (folder / f"{SECRET}.txt").write_text(SECRET)
    run = store.start_run("secrets", name=f"{name}-{SECRET}", params={SECRET: SECRET, "nested": [SECRET]},
                          tags={SECRET: SECRET}, group=SECRET, **options)  # fmt: skip
    for step in range(3000):
        run.log({f"loss/{SECRET}": step / 7}, step=step)
    run.log_series(f"bulk/{SECRET}", range(3000))
    run.note(SECRET * 300)
    run.log_text(SECRET, f"{SECRET}.txt")
    run.log_dict({SECRET: SECRET * 2000}, "dict")
    run.log_table({SECRET: [SECRET]}, "table")
    run.log_artifact(folder, "folder")
    return run


@pytest.fixture
def planted(tmp_path):
    """A store with the secret in a run between two others."""
    with mm.Store(tmp_path / "store") as store:
        with store.start_run("secrets", name="before", params={"a": 1}) as run:
            run.log(loss=0.5)
            run.log_text("shared", "shared.txt")
        victim = plant(store, tmp_path / "source")
        victim.log_text("shared", "shared.txt")
        victim.finish("failed", error=f"Traceback: {SECRET}")
        with store.start_run("secrets", name="after") as run:
            run.log_series("loss", range(2000))
        yield store, victim


def test_a_planted_secret_is_nowhere(planted):
    store, victim = planted
    assert len(files_with(store.path)) > 4
    deleted = store.delete_run(victim, reason="a person has asked")
    assert deleted.leftovers == ()
    assert files_with(store.path) == []
    store.close()
    assert files_with(store.path) == []
    assert store.check(deep=True) == []
    assert [run.name for run in store.runs(order_by="run.id")] == ["before", "after"]
    assert store.runs["before"].artifact("shared.txt").read_text() == "shared"
    assert store.runs["after"].series("loss").values.tolist() == list(range(2000))
    [tombstone] = [event for event in store.db["events"].rows if event["kind"] == "run.deleted"]
    assert (tombstone["subject"], "a person has asked" in tombstone["detail"]) == (victim.id, True)


def test_the_secret_of_a_process_that_was_killed(tmp_path):
    """Its points are in journals, and a part of an object in tmp."""
    path = tmp_path / "store"

    def work(_: int) -> None:
        run = plant(mm.Store(path), tmp_path / "source")
        (path / "tmp" / f"put-{os.getpid()}-0").write_text(SECRET)
        run.log({f"later/{SECRET}": 1.0})
        os._exit(9)

    pid, pipe = forked(work)
    read_all(pipe)
    os.waitpid(pid, 0)
    assert any(name.startswith("journal") for name in files_with(path))
    with mm.Store(path) as store:
        [run] = store.runs()
        store.delete_run(run)
    assert files_with(path) == []


def test_values_that_were_changed_before(tmp_path):
    """SQLite keeps old values in free space: they go, too. An object that was replaced may be another's by now."""
    with mm.Store(tmp_path / "store") as store:
        with store.start_run("secrets", name="victim") as run:
            for number in range(50):
                run.set_tags(who=f"{SECRET} {number}")
                run.log_text(f"{SECRET} {number}", "text")
            run.set_tags(who="nobody")
            run.log_text("nothing", "text")
        deleted = store.delete_run(run)
        assert files_with(store.path) == sorted(str(path.relative_to(store.path)) for path in deleted.leftovers)
        assert len(deleted.leftovers) == 50
        store.gc(grace_s=0.0)
    assert files_with(store.path) == []


def test_what_remains_of_earlier_is_named(planted):
    store, victim = planted
    (store.path / "backups").mkdir()
    (store.path / "backups" / "store-v1.db").write_text(SECRET)
    deleted = store.delete_run(victim)
    assert [path.name for path in deleted.leftovers] == ["store-v1.db"]
    assert files_with(store.path) == ["backups/store-v1.db"]


def test_the_runs_below_are_asked_for(tmp_path):
    with mm.Store(tmp_path / "store") as store:
        parent = plant(store, tmp_path / "source", "parent")
        plant(store, tmp_path / "source", "child", parent=parent).finish()
        parent.finish()
        with pytest.raises(RunInUseError, match="1 run below"):
            store.delete_run(parent)
        assert len(store.delete_run(parent, children=True).runs) == 2
    assert files_with(store.path) == []


def test_what_may_not_be_deleted_stays_whole(planted, tmp_path):
    store, victim = planted
    store.pin(victim, "evidence")
    with pytest.raises(PinnedError, match="evidence"):
        store.delete_run(victim)
    with store.start_run("secrets", name="running") as running, pytest.raises(RunInUseError, match="still running"):
        store.delete_run(running)
    assert len(store.runs[victim.id].series(f"loss/{SECRET}")) == 3000
    assert store.check(deep=True) == []


def test_while_another_process_logs_to_it_nothing_is_deleted(planted):
    store, victim = planted
    go_on, stop = os.pipe(), os.pipe()

    def work(_: int) -> None:
        run = mm.Store(store.path).start_run(resume=victim.id)
        run.log(loss=1.0)
        os.write(go_on[1], b"x")
        os.read(stop[0], 1)
        run.finish()

    pid, pipe = forked(work)
    assert os.read(go_on[0], 1) == b"x"
    with pytest.raises(RunInUseError):
        store.delete_run(victim)
    os.write(stop[1], b"x")
    read_all(pipe)
    os.waitpid(pid, 0)
    assert store.runs[victim.id].metrics["loss"] == 1.0
    store.delete_run(victim)
    assert files_with(store.path) == []


def test_a_reader_holds_old_pages_and_that_is_said(planted, monkeypatch):
    store, victim = planted
    monkeypatch.setattr(deletion, "_CHECKPOINT_TIMEOUT_S", 0.2)
    with closing(sqlite3.connect(store.path / "store.db", isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM runs").fetchone()
        with pytest.raises(StoreWriteError, match="keeps reading"):
            store.delete_run(victim)
        assert files_with(store.path) != []
        reader.execute("ROLLBACK")
    store.delete_run("before")
    assert files_with(store.path) == []
