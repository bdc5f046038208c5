"""What a store says about its own cost is true: exact where it says so, and free of what others did."""

from __future__ import annotations

import os
import threading
import time
from types import SimpleNamespace

import pytest
from kernel_tools import add_run, log

import modelmgmt as mm
from modelmgmt.store import database as database_module
from modelmgmt.store import journal as journal_module
from modelmgmt.store.meter import SAMPLE_MASK, Counter
from modelmgmt.tracking import run as run_module


def test_points_are_counted_exactly_over_segments_definitions_and_runs(store, monkeypatch):
    store._kernel.journal._capacity = 64
    monkeypatch.setattr(journal_module, "LAST_CAPACITY", 256)
    for number in range(3):
        with store.start_run("meter") as run:
            for step in range(500):
                run.log({f"key {step % 7}": step, "other": number})
    found = store.stats()
    assert found.points == 3 * 500 * 2
    assert found.segments.count > 3
    assert found.segments.seconds >= found.segments.worst_s > 0
    assert found.folds.count >= 3
    assert found.folded_records >= 3000
    assert found.lost_points == found.lost_writes == found.retries == 0


def test_one_call_in_128_is_timed(store, monkeypatch):
    clock = iter(range(1_700_000_000_000_000_000, 1_800_000_000_000_000_000, 1000))  # a microsecond later at each look
    with store.start_run("meter") as run:
        monkeypatch.setattr(run_module, "time_ns", lambda: next(clock))
        for _ in range(50 * (SAMPLE_MASK + 1)):
            run.log(loss=1.0)
        found = store.stats().log_calls
    assert found.count == pytest.approx(50 * (SAMPLE_MASK + 1), rel=0.05)
    assert found.seconds / found.count == pytest.approx(1e-6)


def test_files_and_transactions(store):
    before = store.stats()
    with store.start_run("meter") as run:
        for _ in range(3):
            run.log_text("x" * 1000, "a.txt")
        run.set_tags({"a": "b"})
    found = store.stats()
    assert found.puts.count - before.puts.count >= 3
    assert found.put_bytes - before.put_bytes >= 3000
    assert found.written_bytes < found.put_bytes
    assert found.transactions.count - before.transactions.count >= 5
    assert 0 < found.waits.seconds < found.transactions.seconds
    assert found.object_files >= 1
    assert found.object_bytes >= 1000
    assert found.table_bytes == sum(path.stat().st_size for path in store.path.glob("store.db*"))
    assert found.set_aside_bytes == 0


def test_waiting_for_another_writer_is_seen(store, monkeypatch):
    """By a clock that goes on while this one waits for the turn, and at no other time."""
    database, clock = store._kernel.database, [0.0]
    monkeypatch.setattr(database_module, "time", SimpleNamespace(**{**vars(time), "perf_counter": lambda: clock[0]}))
    entered, asked = threading.Event(), threading.Event()
    turns = database._alone_in_process

    def turn():
        if threading.current_thread() is not holder:
            asked.set()
        return turns()

    def hold():
        with database.writing():
            entered.set()
            asked.wait()
            clock[0] += 7.0

    holder = threading.Thread(target=hold)
    monkeypatch.setattr(database, "_alone_in_process", turn)
    holder.start()
    entered.wait()
    with database.writing():
        pass
    holder.join()
    assert store.stats().waits.worst_s == 7.0
    assert store.stats().transactions.worst_s == 7.0


def test_losses_and_retries(store, monkeypatch):
    from modelmgmt.errors import StoreWriteError

    run = store.start_run("meter")
    with monkeypatch.context() as patch, pytest.warns(UserWarning, match="Logging goes on in memory"):
        patch.setattr(store._kernel.objects, "put_bytes", lambda *_: (_ for _ in ()).throw(StoreWriteError("full")))
        run.log_text("a", "a.txt")
    assert store.stats().retries == 0
    run.log(loss=1.0)
    assert store.stats().retries == 1
    run.finish()
    assert set(run.artifacts) >= {"a.txt"}
    assert store.stats().lost_writes == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_child_counts_anew(kernel):
    from modelmgmt.store import kernel as kernel_module

    kernel_module._open_kernels["here"] = kernel
    log(kernel, "loss", 1)
    add_run(kernel, "run-2")
    pid = os.fork()
    if pid == 0:
        log(kernel, "loss", 2)
        good = kernel.journal.points() == 1 and kernel.meter.transactions.count == 0
        os._exit(0 if good else 1)
    assert os.waitpid(pid, 0)[1] == 0
    assert kernel.journal.points() == 1
    assert kernel.meter.transactions.count >= 1


def test_a_block_that_raises_is_not_counted():
    counter = Counter()
    with counter.timed():
        pass
    with pytest.raises(ZeroDivisionError), counter.timed():
        raise ZeroDivisionError
    assert counter.value().count == 1
    assert mm.Store("fresh").stats().points == 0


def test_stats_read_as_a_list(store):
    with store.start_run("doc") as run:
        run.log(loss=1.0)
    lines = repr(store.stats()).splitlines()
    assert "points           1" in lines
    assert [line for line in lines if line.startswith("transactions") and "the worst" in line]
