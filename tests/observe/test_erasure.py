"""A person asks for their data to be erased: it is in no file of the store any more, and does not come back."""

from __future__ import annotations

import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from observe_tools import register

import modelmgmt as mm
from modelmgmt.errors import InvalidTypeError, InvalidValueError, NotFoundError, StoreClosedError, StoreWriteError
from modelmgmt.observe import batches, blocks, folding, freeing
from modelmgmt.observe import monitor as monitoring
from modelmgmt.tracking import deletion
from modelmgmt.versions.data import pack

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
SECRET = "xyzzy-0815-secret"
SPOKEN = "quux-4711-said-only-once"


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(freeing, "NAMED_WITHIN_S", 0.0)
    monkeypatch.setattr(pack, "_PAYS", 0.0)  # nothing is compressed: what is there can be seen


def files_with(path, *texts):
    """The files below a folder that have one of the texts in their bytes."""
    return sorted(
        str(file.relative_to(path))
        for file in path.rglob("*")
        if file.is_file() and any(text.encode() in file.read_bytes() for text in texts)
    )


def log_people(monitor, count=6, secret=2):
    """One batch; the one of whom the secret is stands between others."""
    ids = [SECRET if place == secret else f"person {place}" for place in range(count)]
    said = [SPOKEN if place == secret else f"reply {place}" for place in range(count)]
    frame = pd.DataFrame({"name": [one.upper() for one in ids], "age": range(count), "note": said})
    return monitor.log(frame, said, ids)


def others(monitor):
    return sorted(one.prediction for one in monitor.predictions())


def fold(store):
    assert folding.fold(store._kernel, 1, 1) > 1


def large(store, monitor, monkeypatch):
    monkeypatch.setattr(monitoring, "INLINE_BYTES", 10)
    log_people(monitor)


def folded(store, monitor, monkeypatch):
    log_people(monitor)
    monitor.log(None, ["reply 9"])
    log_people(store.monitor("churn@production"), secret=None)  # the same columns
    fold(store)


def waiting(store, monitor, monkeypatch):
    log_people(monitor)


@pytest.mark.parametrize("kept", [waiting, folded, large])
def test_an_id_and_all_that_was_said_is_nowhere(store, monitor, monkeypatch, kept):
    kept(store, monitor, monkeypatch)
    rest = [one for one in others(monitor) if one != SPOKEN]
    assert len(files_with(store.path, SECRET, SPOKEN)) >= 1
    deleted = monitor.delete(ids=[SECRET, "nobody"], reason="a person has asked")
    assert (deleted.predictions, deleted.missing, deleted.leftovers) == (1, ("nobody",), ())
    assert files_with(store.path, SECRET, SECRET.upper(), SPOKEN) == []
    assert others(monitor) == rest
    with pytest.raises(NotFoundError):
        store.predictions[SECRET]
    assert store.predictions["person 3"].inputs["age"] == 3
    store.close()
    assert files_with(store.path, SECRET, SECRET.upper(), SPOKEN) == []
    again = mm.Store(store.path)
    assert again.check(deep=True) == []
    [event] = again.audit.events(kind="predictions.erased")
    assert (event.subject, "a person has asked" in event.detail) == ("churn@production", True)
    assert again.audit.verify() == []
    assert again.gc(grace_s=0.0).digests == ()


def test_ids_that_were_made_are_erased_and_those_beside_keep_theirs(store, monitor):
    batch = monitor.log(None, [10, 11, 12, 13])
    assert monitor.delete(ids=[batch.ids[1], batch.ids[3]]).predictions == 2
    assert [(one.id, one.prediction) for one in monitor.predictions()] == [(batch.ids[0], 10), (batch.ids[2], 12)]
    assert store.predictions[batch.ids[2]].prediction == 12
    fold_with = monitor.log(None, [14])
    fold(store)
    assert store.predictions[batch.ids[2]].prediction == 12
    assert monitor.delete(ids=batch.ids).missing == (batch.ids[1], batch.ids[3])
    assert [one.id for one in monitor.predictions()] == fold_with.ids


def test_one_id_in_many_batches_folded_or_not(store, monitor):
    for n in range(3):
        monitor.log(None, [n], ids=["again"])
        monitor.log(None, [10 + n], ids=[f"once {n}"])
    fold(store)
    monitor.log(None, [99], ids=["again"])
    assert monitor.delete(ids="again").predictions == 4
    assert [one.prediction for one in monitor.predictions()] == [10, 11, 12]
    monitor.log(None, [100], ids=["again"])  # later is another prediction
    assert store.predictions["again"].prediction == 100


def test_only_what_the_monitor_is_about(store, monitor):
    monitor.log(None, ["in production"], ids=["a"])
    store.monitor("churn:1").log(None, ["by number"], ids=["a"])
    assert monitor.delete(ids="a").predictions == 1
    assert store.predictions["a"].prediction == "by number"
    assert monitor.delete(ids="a").missing == ("a",)
    assert store.monitor("churn").delete(ids="a").predictions == 1
    assert len(list(store.audit.events(kind="predictions.erased"))) == 2  # nothing was said of nothing


def test_what_waits_in_memory_is_written_and_erased(store, monitor, monkeypatch):
    from modelmgmt.store import database

    real = database._begin_immediate
    other = store.monitor("churn:1")

    def refuse(connection):
        raise StoreWriteError("the disk is full")

    monkeypatch.setattr(database, "_begin_immediate", refuse)
    with pytest.warns(UserWarning, match="disk is full"):
        log_people(other)
    monkeypatch.setattr(database, "_begin_immediate", real)
    assert store.monitor("churn").delete(ids=SECRET).predictions == 1
    store.close()
    assert files_with(store.path, SECRET) == []


def test_a_call_that_makes_no_sense(store, monitor):
    monitor.log(None, [1], ids=["a"])
    for arguments in ({}, {"before": NOON, "ids": ["a"]}):
        with pytest.raises(InvalidValueError, match="Say what to delete"):
            monitor.delete(**arguments)
    for ids in ([None], [["a"]], 1.5, [{"a": 1}]):
        with pytest.raises(InvalidTypeError, match="ids are"):
            monitor.delete(ids=ids)
    assert monitor.delete(ids=[]).predictions == 0
    assert monitor.delete(ids=[7, "7"]).missing == ("7",)
    store.close()
    with pytest.raises(StoreClosedError):
        monitor.delete(ids=["a"])


def test_many_at_once(store, monitor):
    monitor.log(np.arange(20_000.0).reshape(-1, 2), np.arange(10_000), ids=np.arange(10_000))
    for n in range(50):
        monitor.log(None, [n], ids=[f"one {n}"])
    fold(store)
    gone = [*range(0, 10_000, 2), *(f"one {n}" for n in range(25))]
    assert monitor.delete(ids=gone).predictions == 5025
    assert len(monitor.predictions()) == 5025
    assert store.predictions[9999].inputs == {"0": 19998.0, "1": 19999.0}
    assert store.check(deep=True) == []


def test_copies_from_before_are_named(store, monitor):
    log_people(monitor)
    (store.path / "backups").mkdir(exist_ok=True)
    (store.path / "backups" / "store-v1.db").write_text(SECRET)
    assert [path.name for path in monitor.delete(ids=SECRET).leftovers] == ["store-v1.db"]


def test_a_reader_in_the_way_is_said_and_calling_again_cleans(store, monitor, monkeypatch):
    log_people(monitor)
    monkeypatch.setattr(deletion, "_CHECKPOINT_TIMEOUT_S", 0.2)
    with store._kernel.database.reading() as connection:
        connection.execute("SELECT count(*) FROM prediction_batches").fetchone()
        with pytest.raises(StoreWriteError, match="keeps reading"):
            monitor.delete(ids=SECRET)
    assert monitor.delete(ids=SECRET).missing == (SECRET,)
    assert files_with(store.path, SECRET) == []


# ------------------------------------------------------------------------------------------- beside others


def test_a_fold_that_was_under_way_does_not_bring_it_back(store, monitor, monkeypatch):
    """It has read the batch before, and writes it after: in another process no lock keeps it from that."""
    log_people(monitor)
    log_people(monitor, secret=None)
    begun, go_on = threading.Event(), threading.Event()
    really = blocks.write

    def slow(objects, block):
        begun.set()
        go_on.wait(10)
        return really(objects, block)

    monkeypatch.setattr(blocks, "write", slow)
    thread = threading.Thread(target=folding.fold, args=(store._kernel, 1, 1))
    thread.start()
    assert begun.wait(10)
    monitor.delete(ids=SECRET)
    go_on.set()
    thread.join()
    assert files_with(store.path, SECRET, SPOKEN) == []
    assert len(monitor.predictions()) == 11
    assert store.check(deep=True) == []


def test_a_batch_of_which_some_is_gone_is_not_replaced_by_what_it_was(store, monitor):
    log_people(monitor)
    with store._kernel.database.reading() as connection:
        [row] = batches.select(connection)
        schema = batches.schema(connection, row.schema)
    monitor.delete(ids=SECRET)
    with store._kernel.database.writing() as connection:
        assert not batches.replace(connection, [row], None, schema)


WRITES = """
import sys, modelmgmt as mm
from modelmgmt.observe import folding
folding.LOOK_BATCHES, folding.FOLD_BATCHES = 5, 10
monitor = mm.Store(sys.argv[1]).monitor("churn@production")
n = 0
while True:
    monitor.log([{"name": f"NAME-{n}-END"}], [n], ids=[f"person-{n}-end"])
    print(n, flush=True)
    n += 1
"""


def test_while_another_process_logs_and_folds(store, monitor):
    process = subprocess.Popen([sys.executable, "-c", WRITES, str(store.path)], stdout=subprocess.PIPE, text=True)
    gone = []
    try:
        last = -1
        for _ in range(3):
            while last < 40 * (len(gone) + 1):
                last = int(process.stdout.readline())
            gone.append(last - 1)
            assert monitor.delete(ids=f"person-{gone[-1]}-end").predictions == 1
    finally:
        process.kill()
        rest = process.stdout.read().split()
        process.wait()
        process.stdout.close()
    last = int(rest[-1]) if rest else last
    again = mm.Store(store.path)
    found = {one.prediction for one in monitor.predictions()}
    assert set(range(last + 1)) - found == set(gone)
    again.gc(grace_s=0.0)  # a fold that was killed may have had them
    assert again.check(deep=True) == []
    assert files_with(store.path, *(f"person-{n}-end" for n in gone), *(f"NAME-{n}-END" for n in gone)) == []


# ------------------------------------------------------------------------------------------- merges


@pytest.mark.parametrize("is_folded", [False, True])
def test_a_merge_does_not_bring_it_back_not_even_as_bytes(store, monitor, is_folded):
    log_people(monitor)
    monitor.log(None, ["reply 7"])
    log_people(monitor, secret=None)
    other = mm.Store(store.backup("other"))
    if is_folded:
        fold(other)
    monitor.delete(ids=[SECRET, "person 1"])
    store.monitor("churn").delete(ids=["person 0"])
    kept = others(monitor)
    store.merge(other)
    assert others(monitor) == kept
    assert files_with(store.path, SECRET, SPOKEN) == []
    merged = other.merge(store)  # and here it is erased, too
    assert merged.erased == 5
    assert others(other.monitor("churn")) == kept
    other.close()
    assert files_with(other.path, SECRET, SPOKEN) == []
    assert mm.Store(other.path).check(deep=True) == []


def test_a_third_store_hears_of_it_by_way_of_the_second(store, monitor):
    log_people(monitor)
    second, third = mm.Store(store.backup("second")), mm.Store(store.backup("third"))
    monitor.delete(ids=SECRET, reason="asked")
    second.merge(store)
    assert third.merge(second).erased == 1
    assert third.merge(store).erased == 0
    assert [event.subject for event in third.audit.events(kind="predictions.erased")] == ["churn@production"]
    assert third.audit.verify() == []


@given(
    erased=st.lists(st.tuples(st.integers(0, 2), st.integers(0, 5)), max_size=5),
    folds=st.tuples(st.booleans(), st.booleans(), st.booleans()),
    orders=st.tuples(st.permutations([0, 1, 2]), st.permutations([0, 1, 2])),
)
@settings(max_examples=6, deadline=None)
def test_in_whichever_order_stores_are_merged(tmp_path_factory, erased, folds, orders):
    folder = tmp_path_factory.mktemp("orders")
    stores = [mm.Store(folder / "0")]
    register(stores[0])
    monitor = stores[0].monitor("churn:1")
    monitor.log(None, [0, 1, 2], ids=["0", "1", "2"], at=NOON)
    monitor.log(None, [3, 4], ids=["3", "4"], at=NOON + timedelta(hours=1))
    monitor.log(None, [5], ids=["5"], at=NOON + timedelta(hours=2))
    stores += [mm.Store(stores[0].backup(folder / name)) for name in ("1", "2")]
    empty = [mm.Store(stores[0].backup(folder / name)) for name in ("one", "other")]
    for store, is_folded in zip(stores, folds, strict=True):
        if is_folded:
            fold(store)
    for where, id_ in erased:
        stores[where].monitor("churn:1").delete(ids=str(id_))
    for into, order in zip(empty, orders, strict=True):
        for place in order:
            into.merge(stores[place])
    left = [[one.id for one in into.monitor("churn:1").predictions()] for into in empty]
    assert left[0] == left[1] == sorted({str(n) for n in range(6)} - {str(id_) for _, id_ in erased})
    for into in empty:
        assert into.check(deep=True) == []
