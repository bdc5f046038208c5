"""Predictions as a part of their store: deleted, refused to be orphaned, merged, checked, repaired, backed up, collected."""

from __future__ import annotations

import sqlite3
import threading
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from observe_tools import register

import modelmgmt as mm
from modelmgmt.errors import CorruptDataError, InvalidValueError, NotFoundError, PinnedError, RunInUseError
from modelmgmt.observe import folding

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def fold(store):
    return folding.fold(store._kernel, 1, 1)


def log_hours(monitor, count=6):
    """One prediction an hour, from noon."""
    for hour in range(count):
        monitor.log([{"x": hour}], [hour], ids=[f"h{hour}"], at=NOON + timedelta(hours=hour))


def said(monitor):
    return [one.prediction for one in monitor.predictions()]


def test_what_is_older_is_deleted_also_out_of_a_fold(store, monitor):
    log_hours(monitor)
    fold(store)
    before = set(store._kernel.objects.digests())
    deleted = monitor.delete("2026-01-01T15:00:00Z", reason="ninety days")
    assert (deleted.predictions, said(monitor)) == (3, [3, 4, 5])
    with pytest.raises(NotFoundError):
        store.predictions["h2"]
    store.gc(grace_s=0.0)
    assert not [digest for digest in before if b"h2" in _bytes(store, digest)]
    [event] = store.audit.events(kind="predictions.deleted")
    assert (event.subject, '"predictions":3' in event.detail) == ("churn@production", True)
    monitor.delete(NOON + timedelta(days=1))
    assert said(monitor) == []
    with store._kernel.database.reading() as connection:
        assert connection.execute("SELECT count(*) FROM prediction_schemas").fetchone() == (0,)
    assert store.check(deep=True) == []


def _bytes(store, digest):
    return store._kernel.objects.get(digest) if store._kernel.objects.has(digest) else b""


def test_only_what_was_logged_under_that_name_is_deleted(store, monitor):
    register(store, weights=b"others")
    for name in ("churn@production", "churn:1", "churn:2"):
        store.monitor(name).log(None, [name], at=NOON)
    monitor.delete(NOON + timedelta(hours=1))
    assert sorted(said(store.monitor("churn"))) == ["churn:1", "churn:2"]
    store.monitor("churn:1").delete(NOON + timedelta(hours=1))
    assert said(store.monitor("churn")) == ["churn:2"]
    with pytest.raises(InvalidValueError, match="no time zone"):
        monitor.delete("2026-01-01")


def test_what_has_predicted_is_not_deleted_by_the_way(store, run, monitor):
    log_hours(monitor, 2)
    store.models["churn"].archive(1)
    with pytest.raises(PinnedError, match=r"2 predictions were made with churn:1: delete them first"):
        store.models["churn"].delete(1)
    with pytest.raises(PinnedError, match="2 predictions"):
        store.models.delete("churn")
    store.models["churn"].delete(1, force=True)
    with pytest.raises(RunInUseError, match=r"2 predictions .* churn:1: delete them first"):
        store.delete_run(run)
    up = store.lineage("prediction:h1", direction="up")
    assert [node.label for node in up.of("version")] == ["churn:1 (not here)"]
    assert [node.id for node in up.of("run")] == [f"run:{run.id}"]
    store.monitor("churn:1").delete(NOON + timedelta(days=1))
    store.delete_run(run)
    assert store.check(deep=True) == []


def test_a_merge_brings_what_is_new_and_only_that(store, monitor):
    log_hours(monitor, 4)
    other = mm.Store(store.backup("other"))
    fold(other)  # the same predictions, one store has them in rows, one in a fold
    log_hours(store.monitor("churn:1"), 1)
    theirs = other.monitor("churn@production")
    theirs.log(None, ["theirs"], ids=["t"], at=NOON)
    came = []
    for into, source in ((store, other), (other, store), (store, other)):
        came.append(into.merge(source).predictions)
    assert came == [1, 1, 0]
    for each in (store, other):
        assert sorted(map(str, said(each.monitor("churn")))) == ["0", "0", "1", "2", "3", "theirs"]
        assert each.check(deep=True) == []


def test_a_fold_of_which_some_is_here_comes_in_part(store, monitor):
    log_hours(monitor, 2)
    other = mm.Store(store.backup("other"))
    log_hours(other.monitor("churn@production"), 5)
    assert fold(other) == 7
    store.merge(other)
    assert sorted(said(monitor)) == [0, 0, 1, 1, 2, 3, 4]
    store.merge(other)
    assert len(monitor.predictions()) == 7


def test_what_was_deleted_here_does_not_come_back(store, monitor):
    log_hours(monitor)
    other = mm.Store(store.backup("other"))
    fold(other)
    monitor.delete(NOON + timedelta(hours=4))
    store.merge(other)
    assert said(monitor) == [4, 5]
    other.merge(store)
    assert said(other.monitor("churn")) == list(range(6))  # a merge adds, and deletes nothing


def test_a_run_that_was_deleted_here_brings_no_predictions(store, run, monitor):
    log_hours(monitor, 1)
    other = mm.Store(store.backup("other"))
    monitor.delete("2027-01-01T00:00:00Z")
    store.models.delete("churn", force=True)
    store.delete_run(run)
    store.merge(other)
    assert store.check(deep=True) == []
    with store._kernel.database.reading() as connection:
        assert connection.execute("SELECT count(*) FROM prediction_batches").fetchone() == (0,)


def test_a_version_of_another_store_is_not_taken_for_ours(store, monitor):
    other = mm.Store("other")
    run = register(other, weights=b"something else")
    other.monitor("churn:1").log(None, ["theirs"], ids=["t"])
    store.merge(other)
    up = store.lineage("prediction:t", direction="up")
    assert [node.label for node in up.of("version")] == ["churn:1 (another one here)"]
    assert [node.id for node in up.of("run")] == [f"run:{run.id}"]
    assert "predictions" not in {node.kind for node in store.lineage("churn:1").nodes.values()}


@pytest.mark.parametrize("damage", ["data = x'00'", "rows = rows + 1", "package = 'another'"])
def test_a_changed_row_is_named_and_not_read(store, monitor, damage):
    log_hours(monitor, 2)
    with store._kernel.database.writing() as connection:
        connection.execute(f"UPDATE prediction_batches SET {damage} WHERE first_at = '2026-01-01T12:00:00.000000Z'")
    assert any("prediction_batches" in problem.where + problem.what for problem in store.check())
    with pytest.raises(CorruptDataError, match="prediction_batches"):
        monitor.predictions().to_frame()
    store.repair()
    assert store.check(deep=True) == []
    assert said(monitor) == [1]


def test_a_repair_waits_for_a_fold_that_is_under_way(store, monitor, monkeypatch):
    begun, go_on = threading.Event(), threading.Event()
    really, settle = folding.fold, folding.Folding.settle

    def slow(kernel, *least):
        with kernel.database.reading():
            begun.set()
            go_on.wait(120)  # for a repair that waits for nothing: then it fails below
        return really(kernel, *least)

    def wait(self):
        go_on.set()
        settle(self)

    monkeypatch.setattr(folding, "fold", slow)
    monkeypatch.setattr(folding.Folding, "settle", wait)
    log_hours(monitor, 2)
    begun.wait()
    with store._kernel.database.writing() as connection:
        connection.execute("UPDATE prediction_batches SET rows = 2 WHERE first_at = '2026-01-01T12:00:00.000000Z'")
    assert not go_on.is_set()
    store.repair()
    assert go_on.is_set()
    assert said(monitor) == [1]
    assert store.check(deep=True) == []


@pytest.mark.parametrize("column", ["content_digest", "lookup_digest"])
def test_a_lost_object_is_named_and_a_repair_says_how_many_are_gone(store, monitor, column):
    log_hours(monitor, 3)
    fold(store)
    log_hours(monitor, 1)
    with store._kernel.database.reading() as connection:
        [(digest,)] = connection.execute(f"SELECT {column} FROM prediction_batches WHERE data IS NULL").fetchall()
    store._kernel.objects.path(digest).unlink()
    [problem] = store.check()
    assert problem.where.startswith("predictions ")
    assert len(store.repair().predictions) == 1
    assert store.check(deep=True) == []
    assert said(monitor) == [0]
    [event] = store.audit.events(kind="predictions.lost")
    assert '"predictions":3' in event.detail


def test_the_tables_are_rebuilt(store, monitor):
    store.start_run(tags={"a": "b"}).finish()
    monitor.log(np.zeros((3, 900)), [1, 2, 3], ids=["a", "b", "c"], at=NOON)  # over many pages
    log_hours(monitor, 3)
    store._kernel.fold()
    with sqlite3.connect(store.path / "store.db") as connection:
        connection.execute("UPDATE tags SET value = 'other'")
    connection.close()
    store.repair()
    assert list((store.path / "set-aside").glob("store.db.*"))
    assert sorted(said(store.monitor("churn"))) == [0, 1, 1, 2, 2, 3]
    assert store.predictions["c"].inputs["899"] == 0.0
    assert store.check(deep=True) == []


def test_a_backup_has_them_and_a_collection_spares_them(store, monitor):
    log_hours(monitor)
    fold(store)
    copy = mm.Store(store.backup("copy"))
    for each in (store, copy):
        each.gc(grace_s=0.0)
        assert said(each.monitor("churn")) == list(range(6))
        assert each.check(deep=True) == []


def test_flush_commits_a_change(store, monitor):
    monitor.log(None, [1])
    log = store.path / "store.db-wal"
    before = log.read_bytes()
    monitor.flush()
    assert log.read_bytes() != before
