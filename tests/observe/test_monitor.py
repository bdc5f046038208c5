"""Who predicted is what really predicted; what `log` returned for is there, whatever becomes of the process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import warnings
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pytest
from observe_tools import Loaded, register

import modelmgmt as mm
from modelmgmt.errors import (
    CorruptDataError,
    InvalidTypeError,
    InvalidValueError,
    NotFoundError,
    StoreClosedError,
    StoreWriteError,
)
from modelmgmt.observe import batches, blocks, folding
from modelmgmt.observe import monitor as monitoring
from modelmgmt.store import database

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def digest_of(store, number):
    return store.models["churn"][number].digest


# ------------------------------------------------------------------------------------------- which version


def test_an_alias_that_moves_does_not_change_who_predicted(store, monitor):
    monitor.log(None, [1], ids=["before"])
    register(store, weights=b"others")
    store.models["churn"].promote(2, "production")
    monitor.log(None, [2], ids=["after"])
    assert (monitor.version, store.monitor("churn@production").version) == ("churn:1", "churn:2")
    assert [one.version for one in monitor.predictions()] == ["churn:1"] * 2
    store.monitor("models:/churn/Production").log(None, [3])
    frame = monitor.predictions().to_frame()
    assert frame["version"].tolist() == ["churn:1", "churn:1", "churn:2"]
    assert frame["label"].tolist() == ["production"] * 3
    assert len(store.monitor("churn:1").predictions()) == 2
    assert len(store.monitor("churn").predictions()) == 3


def test_the_loaded_model_says_who_it_is(store, monitor):
    register(store, weights=b"others")
    monitor.log(None, [1], model=Loaded(digest_of(store, 2)))
    store.monitor("churn").log(None, [1], model=Loaded(digest_of(store, 1)))
    store.monitor(Loaded(digest_of(store, 2))).log(None, [1])
    found = [(one.version, one.label) for one in store.monitor("churn").predictions()]
    assert found == [("churn:2", "production"), ("churn:1", None), ("churn:2", None)]
    assert len(store.monitor(Loaded(digest_of(store, 2))).predictions()) == 2


def test_a_model_that_is_another_or_not_here(store, monitor):
    register(store, "other", weights=b"others")
    other = Loaded(store.models["other"][1].digest)
    with pytest.raises(NotFoundError, match=r"not a version of churn, it is other:1: log with store\.monitor\(model\)"):
        monitor.log(None, [1], model=other)
    with pytest.raises(InvalidValueError, match="monitor is of churn:1, and the given model is another, other:1"):
        store.monitor("churn:1").log(None, [1], model=other)
    with pytest.raises(NotFoundError, match="is not in the store"):
        store.monitor(Loaded("0" * 64))
    with pytest.raises(NotFoundError, match=r"churn does not name a version: pass model="):
        store.monitor("churn").log(None, [1])
    assert len(store.monitor("churn").predictions()) == 0


def test_what_names_no_model_is_answered_with_those_there_are(store, monitor):
    with pytest.raises(NotFoundError, match=r"no model 'chrun'; .*Did you mean 'churn'\?"):
        store.monitor("chrun")
    for given in (None, object(), 3):
        with pytest.raises(InvalidTypeError, match=r"does not say which version it is: pass a reference"):
            store.monitor(given)
    with pytest.raises(NotFoundError, match="modelmgmt predictions list MODEL"):
        store.predictions["never"]


def test_the_predictions_of_a_model_that_was_deleted_are_still_found_by_its_name(store, monitor):
    monitor.log(None, [1], ids=["old"])
    store.models.delete("churn", force=True)
    assert [one.id for one in store.monitor("churn").predictions()] == ["old"]
    assert store.monitor("churn").delete("2999-01-01T00:00:00Z").predictions == 1
    with pytest.raises(NotFoundError, match="no model 'churn'"):
        store.monitor("churn")


def test_a_model_of_a_run_that_is_not_registered(store):
    with store.start_run("fit", code=False) as run:
        logged = run.log_model({"w": 1.0}, "weights", format="cloudpickle")
    monitor = store.monitor(logged.reference)
    monitor.log([[1]], [1], ids=["a"])
    store.monitor(mm.load_model(logged.reference, store=store)).log([[1]], [1], ids=["b"])
    assert [store.predictions[one].version for one in "ab"] == [f"run:{run.id}/weights"] * 2
    assert len(monitor.predictions()) == 2
    assert store.predictions["a"].run == run.id


def test_what_was_predicted_can_be_read_when_nothing_is_there_any_more(store, monitor):
    monitor.log(None, [1])
    store.models["churn"].archive(1)
    monitor = store.monitor("churn@production")
    assert (monitor.version, len(monitor.predictions())) == (None, 1)
    with pytest.raises(NotFoundError, match="No version of churn is in the stage"):
        monitor.log(None, [1])


# ------------------------------------------------------------------------------------------- reading back


def test_times_and_limits(store, monitor):
    for minute in range(6):
        monitor.log([{"x": minute}], [minute], at=NOON + timedelta(minutes=minute))

    def said(**asked):
        return [one.prediction for one in monitor.predictions(**asked)]

    for _ in range(2):
        assert said(since=NOON + timedelta(minutes=2), until="2026-01-01T12:05:00Z") == [2, 3, 4]
        assert said(limit=2) == [4, 5]
        assert said(limit=0) == []
        assert said(until=NOON) == []
        assert len(monitor.predictions(since=NOON + timedelta(minutes=4))) == 2
        folding.fold(store._kernel, 1, 1)


def test_an_id_that_comes_again(store, monitor):
    for minute in range(3):
        monitor.log(None, [minute, 10 + minute], ids=["same", f"other {minute}"], at=NOON + timedelta(minutes=minute))
    folding.fold(store._kernel, 1, 1)
    monitor.log(None, [0.5], ids=["same"], at=NOON - timedelta(days=1))
    assert store.predictions["same"].prediction == 2
    assert [one.prediction for one in monitor.predictions(ids="same")] == [0.5, 0, 1, 2]


def test_ids_that_only_look_alike(store, monitor):
    batch = monitor.log(None, [1, 2])
    monitor.log(None, ["mine"], ids=[f"{batch.id}-7"])
    monitor.log(None, [b"x"], ids=["100%_'\""])
    for _ in range(2):
        assert store.predictions[batch.ids[1]].prediction == 2
        assert store.predictions[f"{batch.id}-7"].prediction == "mine"
        assert store.predictions["100%_'\""].prediction == b"x"
        for missing in (f"{batch.id}-2", f"{batch.id}-", batch.id, "100", f"{batch.id}-01"):
            with pytest.raises(NotFoundError, match="no prediction"):
                store.predictions[missing]
        folding.fold(store._kernel, 1, 1)


def test_many_ids_at_once(store, monitor):
    ids = [f"id-{n}" for n in range(500)]
    for start in range(0, 500, 100):
        monitor.log(None, np.arange(start, start + 100), ids=ids[start : start + 100])
    for _ in range(2):
        assert [one.prediction for one in monitor.predictions(ids=ids[50:350])] == list(range(50, 350))
        folding.fold(store._kernel, 1, 1)


def test_a_large_batch_becomes_objects_at_once(store, monitor, monkeypatch):
    monkeypatch.setattr(monitoring, "INLINE_BYTES", 1000)
    asked = pd.DataFrame({"a": np.arange(300.0), "b": ["x"] * 300})
    batch = monitor.log(asked, np.arange(300))
    with store._kernel.database.reading() as connection:
        assert connection.execute("SELECT data IS NULL, rows FROM prediction_batches").fetchall() == [(1, 300)]
    frame = monitor.predictions().to_frame()
    assert frame["id"].tolist() == batch.ids
    assert store.predictions[batch.ids[299]].inputs == {"a": 299.0, "b": "x"}
    assert store.check(deep=True) == []


def test_a_table_of_what_was_predicted(store, monitor):
    for n in range(30):
        monitor.log([{"age": n, "name": "\x1b[31m<b>"}], [n], ids=[f"order-{n}"])
    shown = repr(monitor.predictions())
    assert "order-29" in shown
    assert "order-9 " not in shown
    assert "The newest 20 of 30 predictions." in shown
    assert "\x1b" not in shown
    assert "&lt;b&gt;" in monitor.predictions()._repr_html_()
    assert repr(monitor.predictions(ids="nobody")).endswith("No predictions.")


# ------------------------------------------------------------------------------------------- folding


def test_what_waits_is_folded_by_itself(store, monitor, monkeypatch):
    monkeypatch.setattr(folding, "LOOK_BATCHES", 10)
    monkeypatch.setattr(folding, "FOLD_BATCHES", 20)
    for n in range(45):
        monitor.log([{"x": n}], [n], ids=[n])
        folding.of(store._kernel).settle()
    with store._kernel.database.reading() as connection:
        folds, rows = connection.execute("SELECT count(content_digest), count(*) FROM prediction_batches").fetchone()
    assert folds >= 1
    assert rows < 30
    assert [one.prediction for one in monitor.predictions()] == list(range(45))
    assert not [one.name for one in threading.enumerate() if one.name.startswith("modelmgmt-")]


def test_a_fold_that_fails_loses_nothing_and_is_said(store, monitor, monkeypatch):
    monkeypatch.setattr(folding, "LOOK_BATCHES", 1)
    monkeypatch.setattr(folding, "FOLD_BATCHES", 2)
    monkeypatch.setattr(type(store._kernel.objects), "put_bytes", _full)
    monitor.log(None, [1])
    folding.of(store._kernel).settle()
    monitor.log(None, [2])
    folding.of(store._kernel).settle()
    with pytest.warns(UserWarning, match="stored, but could not be compacted yet: the disk is full"):
        monitor.log(None, [3])
    folding.of(store._kernel).settle()
    assert len(monitor.predictions()) == 3
    folding.of(store._kernel)._error = None


def _full(*_, **__):
    raise StoreWriteError("the disk is full")


def test_two_who_fold_at_once(store, monitor):
    for n in range(40):
        monitor.log([{"x": n}], [n])
    threads = [threading.Thread(target=folding.fold, args=(store._kernel, 2, 1)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(one.prediction for one in monitor.predictions()) == list(range(40))


# ------------------------------------------------------------------------------------------- when the disk fails


@pytest.fixture
def refuses(store, monkeypatch):
    """Every write to the tables is refused until `refuses()` is called."""
    real = database._begin_immediate

    def refuse(connection):
        raise StoreWriteError("the disk is full")

    monkeypatch.setattr(database, "_begin_immediate", refuse)
    return lambda: monkeypatch.setattr(database, "_begin_immediate", real)


def test_a_service_goes_on_when_the_disk_refuses(store, monitor, refuses):
    with pytest.warns(UserWarning, match="Logging goes on in memory") as said:
        for n in range(5):
            monitor.log(None, [n])
    assert len(said) == 1
    with pytest.raises(StoreWriteError):
        monitor.flush()
    refuses()
    monitor.log(None, [5])
    assert [one.prediction for one in monitor.predictions()] == list(range(6))
    assert monitor.lost == 0


def test_what_was_waiting_is_written_at_the_end(store, monitor, refuses):
    with pytest.warns(UserWarning, match="Logging goes on"):
        monitor.log(None, [1])
    refuses()
    monitor.close()
    assert len(monitor.predictions()) == 1


def test_what_is_lost_is_counted_and_said(store, run, refuses, monkeypatch):
    monkeypatch.setattr(monitoring, "INLINE_BYTES", 100)
    with warnings.catch_warnings(record=True) as said, store.monitor("churn:1") as monitor:
        warnings.simplefilter("always")
        monitor.log(None, [1, 2])
        monitor.log(None, np.zeros(1000))  # too large to wait
        assert monitor.lost == 1000
    assert "lost 1,002 predictions" in str(said[-1].message)


def test_a_service_that_wants_to_know(store, run, refuses):
    monitor = store.monitor("churn:1", on_error="raise")
    with pytest.raises(StoreWriteError, match="disk is full"):
        monitor.log(None, [1])


def test_a_store_that_is_read_only(store, monitor):
    monitor.log(None, [1])
    copy = mm.Store(store.backup("copy").as_posix(), read_only=True)
    assert len(copy.monitor("churn@production").predictions()) == 1
    reader = copy.monitor("churn:1")
    with pytest.warns(UserWarning, match="is read-only"):
        reader.log(None, [2])
    with pytest.warns(UserWarning, match="lost 1 prediction: .* is read-only: it was opened with read_only"):
        reader.close()


def test_nothing_is_kept_while_logging_is_disabled(store, monitor, monkeypatch):
    monkeypatch.setenv("MODELMGMT_DISABLED", "1")
    assert len(monitor.log(None, [1, 2]).ids) == 2
    assert len(monitor.predictions()) == 0


def test_flush_is_durable(store, monitor):
    monitor.log(None, [1])
    monitor.flush()
    assert len(monitor.predictions()) == 1


# ------------------------------------------------------------------------------------------- processes


LOGS = """
import sys, modelmgmt as mm
from modelmgmt.observe import batches, blocks, folding
folding.LOOK_BATCHES, folding.FOLD_BATCHES = 20, 60
monitor = mm.Store(sys.argv[1]).monitor("churn@production")
for n in range(int(sys.argv[3])):
    batch = monitor.log([{"n": n}], [n], ids=[f"{sys.argv[2]}-{n}"])
    print(n, flush=True)
"""


def start(store, name, count):
    command = [sys.executable, "-c", LOGS, str(store.path), name, str(count)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def test_a_process_that_is_killed_loses_nothing_that_returned(store, monitor):
    """Anywhere: also while it folds."""
    done = {}
    processes = {name: start(store, name, 10_000) for name in ("one", "two")}
    for place, (name, process) in enumerate(processes.items()):
        last = -1
        while last < 130 + 37 * place:
            last = int(process.stdout.readline())
        process.send_signal(signal.SIGKILL)
        rest = process.stdout.read().split()
        process.wait()
        process.stdout.close()
        done[name] = int(rest[-1]) if rest else last
    found = [one.id for one in monitor.predictions()]
    assert len(found) == len(set(found))
    for name, last in done.items():
        assert {f"{name}-{n}" for n in range(last + 1)} <= set(found)
    assert store.check(deep=True) == []
    folding.fold(store._kernel, 1, 1)
    assert sorted(one.id for one in monitor.predictions()) == sorted(found)


def test_forks_and_threads(store, monitor):
    def log(name, count):
        for n in range(count):
            monitor.log(None, [n], ids=[f"{name}-{n}"])

    threads = [threading.Thread(target=log, args=(f"thread {n}", 20)) for n in range(3)]
    for thread in threads:
        thread.start()
    children = []
    for name in ("child 0", "child 1"):
        pid = os.fork()
        if not pid:
            try:
                log(name, 20)
                os._exit(0)
            finally:
                os._exit(1)
        children.append(pid)
    log("parent", 20)
    for thread in threads:
        thread.join()
    assert [os.waitpid(pid, 0)[1] for pid in children] == [0, 0]
    found = [one.id for one in monitor.predictions()]
    assert sorted(found) == sorted(
        f"{name}-{n}"
        for name in ("thread 0", "thread 1", "thread 2", "child 0", "child 1", "parent")
        for n in range(20)
    )  # fmt: skip


def test_what_waits_in_a_parent_is_not_its_childs(store, monitor, refuses):
    with pytest.warns(UserWarning, match="Logging goes on"):
        monitor.log(None, [1])
    refuses()
    pid = os.fork()
    if not pid:
        try:
            monitor.log(None, [2])
            os._exit(0 if len(monitor.predictions()) == 1 else 2)
        finally:
            os._exit(1)
    assert os.waitpid(pid, 0)[1] == 0
    monitor.close()
    assert sorted(one.prediction for one in monitor.predictions()) == [1, 2]


def test_closing_a_store_waits_for_the_fold(store, monitor):
    monitor.log(None, [1])  # a process looks with its first batch
    store.close()
    assert not [one for one in threading.enumerate() if one.name == "modelmgmt-predictions"]


@pytest.mark.parametrize("call", ["log", "flush"])
def test_a_closed_store_takes_no_more_predictions(store, monitor, call):
    monitor.log(None, [1])
    store.close()
    calls = {"log": lambda: monitor.log(None, [2]), "flush": monitor.flush}
    with pytest.raises(StoreClosedError, match=r"is closed, and objects .* open it again with Store\("):
        calls[call]()
    assert not (store.path / "store.db-wal").exists()
    assert [one.prediction for one in mm.Store(store.path).monitor("churn@production").predictions()] == [1]


def test_closing_a_store_writes_what_waits_in_memory(store, monitor, refuses):
    other = store.monitor("churn:1")
    with pytest.warns(UserWarning, match="Logging goes on"):
        monitor.log(None, [1])
    refuses()
    other.log(None, [2])
    store.close()
    assert sorted(one.prediction for one in mm.Store(store.path).monitor("churn").predictions()) == [1, 2]
    assert monitor.lost == 0


def test_closing_a_store_says_what_is_lost(store, monitor, refuses):
    with pytest.warns(UserWarning, match="disk is full|lost 1") as said:
        monitor.log(None, [1])
        store.close()
    assert [str(one.message) for one in said if "lost 1 prediction:" in str(one.message)]


def test_closing_a_store_syncs_what_was_logged_and_only_then(store, monitor, monkeypatch):
    durable = []
    really = store._kernel.database.writing

    def writing(*, durable=False, seen=durable):
        seen.append(durable)
        return really(durable=durable)

    monkeypatch.setattr(store._kernel.database, "writing", writing)
    monitor.log(None, [1])
    store.close()
    assert durable == [False, True]


def test_closing_while_threads_log_loses_nothing_that_returned(store, monitor, monkeypatch):
    monkeypatch.setattr(folding, "LOOK_BATCHES", 3)
    done = []

    def log(name):
        for n in range(1000):
            try:
                done.extend(monitor.log(None, [n], ids=[f"{name}-{n}"]).ids)
            except StoreClosedError:
                return

    threads = [threading.Thread(target=log, args=(n,)) for n in range(3)]
    for thread in threads:
        thread.start()
    while len(done) < 60:
        pass
    store.close()
    for thread in threads:
        thread.join()
    assert len(done) < 3000
    again = mm.Store(store.path)
    assert {one.id for one in again.monitor("churn").predictions()} == set(done)
    assert not [one for one in threading.enumerate() if one.name == "modelmgmt-predictions"]


# ------------------------------------------------------------------------------------------- shown


def test_one_prediction_is_one_line_and_a_table_in_a_notebook(store, monitor):
    batch = monitor.log([{"<b>": "x" * 200}], ["two\nlines \x1b[31m" * 9], ids=["<script>"], at=NOON)
    one = store.predictions["<script>"]
    assert repr(one).startswith("<Prediction <script>: two\\nlines \\x1b[31m")
    assert repr(one).endswith("…, by churn:1, 2026-01-01 12:00:00 UTC>")
    assert len(repr(one)) < 140
    html = one._repr_html_()
    assert "&lt;script&gt;" in html
    assert "<script>" not in html
    assert "input.&lt;b&gt;" in html
    assert one.package in html
    assert repr(batch) == f"<Batch {batch.id}: 1 prediction, 2026-01-01 12:00:00 UTC>"
    assert "&lt;script&gt;" in batch._repr_html_()
    assert "<script>" not in batch._repr_html_()


def test_one_with_many_values_is_short(store, monitor):
    monitor.log(np.zeros((1, 784)), np.full((1, 12), 0.5), ids=["wide"])
    monitor.log(None, pd.DataFrame({"stays": [0.25], "leaves": [float("nan")]}), ids=["two"])
    assert len(repr(store.predictions["wide"])) < 140
    assert "766 more values" in store.predictions["wide"]._repr_html_()
    assert repr(store.predictions["two"]).startswith("<Prediction two: stays=0.25, leaves=nan, by churn:1, ")
    assert "<table" in monitor.log(None, np.zeros(5))._repr_html_()
    assert "0 predictions" in repr(monitor.log(None, []))


def test_predictions_are_numbered_oldest_first_and_know_their_lineage(store, monitor):
    for hour, rows in ((3, 2), (1, 3), (2, 1)):
        monitor.log(None, [hour] * rows, at=NOON + timedelta(hours=hour))
    found = monitor.predictions()
    assert [one.prediction for one in found] == [1, 1, 1, 2, 3, 3]
    assert [found[place].id for place in range(6)] == [one.id for one in found]
    assert (found[-1].prediction, [one.prediction for one in found[2:5]], found[9:]) == (3, [1, 2, 3], [])
    assert found[0].lineage().of("version")[0].id == "churn:1"
    assert list(monitor.predictions(ids="nobody")) == []
    with pytest.raises(IndexError):
        found[6]
    with pytest.raises(InvalidTypeError, match="numbered from 0"):
        found["order-1"]


def test_one_of_many_chunks_is_found_wherever_it_is(store, monitor, monkeypatch):
    """Ids that are a part of one another, or of two that stand side by side; made and given; missing inputs."""
    rng = np.random.default_rng(0)
    count = 20_000
    order = rng.permutation(count)
    name = [None if n % 3 == 0 else "x" * (n % 7) + str(n) for n in order.tolist()]
    asked = pd.DataFrame({"n": order, "name": name, "wide": rng.normal(size=count)})
    monkeypatch.setattr(monitoring, "INLINE_BYTES", 1000)
    given = monitor.log(asked, order, ids=order)
    made = monitor.log(asked, order)
    again = monitor.log(asked[:5000], order[:5000] + count, ids=order[:5000], at=NOON)
    for place in (0, 1, 7, 4999, 5000, 9_999, 13_333, count - 1):
        one, other = store.predictions[given.ids[place]], store.predictions[made.ids[place]]
        assert one.prediction == other.prediction == one.inputs["n"] == order[place]
        assert one.inputs["name"] == other.inputs["name"] == name[place]
        found = monitor.predictions(ids=[given.ids[place], made.ids[place], "nobody"])
        assert sorted(one.batch for one in found) == sorted(
            [given.id, made.id, *([again.id] if place < 5000 else [])]
        )  # fmt: skip
    assert found.to_frame()["input.wide"].tolist() == [asked["wide"][count - 1]] * 2
    for id_ in (made.id, f"{made.id}-20000", f"{made.id}-00", f"{made.id}-", f"{given.id}-0", "-1", "20000"):
        with pytest.raises(NotFoundError):
            store.predictions[id_]
    wanted = given.ids[:500]
    assert len(monitor.predictions(ids=wanted)) == 1000
    assert [one.prediction for one in monitor.predictions()][:5000] == (order[:5000] + count).tolist()


def test_a_fold_that_is_not_what_its_row_says_is_damage(store, monitor, monkeypatch):
    monkeypatch.setattr(monitoring, "INLINE_BYTES", 1)
    monitor.log(None, [1, 2], ids=["a", "b"])
    monitor.log([{"x": 1}], [3], ids=["c"])
    with store._kernel.database.reading() as connection:
        one, other = batches.select(connection)
        schema = batches.schema(connection, one.schema)
    for row in (
        replace(one, content_digest=other.content_digest),
        replace(other, rows=1, content_digest=one.content_digest),
    ):
        for ids in (["a"], ["c"]):
            with pytest.raises(CorruptDataError, match="do not match the row"):
                blocks.read_ids(store._kernel.objects, row, schema, ids)
