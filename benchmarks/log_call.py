"""What one `run.log` costs the training loop."""

from __future__ import annotations

import threading
from pathlib import Path
from time import perf_counter_ns

import modelmgmt as mm
from benchmarks.measure import Figure, Scale, each_call_ns, folder, median_us, per_call_in_turns, percentile_us
from benchmarks.rows import Committer, table

BASELINE = (
    "One `execute('INSERT ...')` and one `commit()` on a SQLite table (run, key, step, value, time) in WAL mode with "
    "synchronous=NORMAL and the index (run, key, step) that reading a series needs."
)


def run(place: Path, scale: Scale) -> list[Figure]:
    with (
        folder(place) as here,
        table(here / "indexed.db") as indexed,
        table(here / "plain.db", index=False) as plain,
        mm.Store(here / "store") as store,
        store.start_run("log") as training,
    ):
        ten = {f"metric_{number}": number / 7 for number in range(10)}
        commits = scale.calls // 10
        taken = per_call_in_turns(
            {
                "one": (lambda: training.log(loss=0.25), scale.calls),
                "commit": (Committer(indexed), commits),
                "ten": (lambda: training.log(ten), scale.calls // 5),
                "commit without index": (Committer(plain), commits),
            },
            scale.rounds,
            between=store._kernel.series.settle,
        )
        store._kernel.series.settle()
        worst_us, calls = _worst_while_folding(training, scale.points)
        beside = _beside_a_busy_thread(training, scale.calls)
        journal = next((here / "store" / "journal").glob("*.journal"))
        on_disk, used = journal.stat().st_blocks * 512, journal.stat().st_size
    one, commit = median_us(taken["one"]), median_us(taken["commit"])
    without = median_us(taken["commit without index"])
    p99, ten_us = percentile_us(taken["one"], 99), median_us(taken["ten"])
    worst_commit = percentile_us(taken["commit"], 100)
    return [
        Figure(
            "one scalar, median / commit, median", one / commit, 1 / 4, "lower",
            f"{one:.2f} us / {commit:.2f} us",
        ),
        Figure(
            "one scalar, median / commit without an index, median", one / without, None, "lower",
            f"{one:.2f} us / {without:.2f} us",
        ),
        Figure(
            "one scalar, p99 / commit, median", p99 / commit, 1, "lower",
            f"{p99:.2f} us / {commit:.2f} us; p99.9 {percentile_us(taken['one'], 99.9):.1f} us",
        ),
        Figure("10 metrics in one call / one scalar", ten_us / one, 4, "lower", f"{ten_us:.2f} us / {one:.2f} us"),
        Figure(
            "one scalar beside a thread of pure Python / alone, medians", beside / one, 5, "lower",
            f"{beside:.2f} us / {one:.2f} us",
        ),
        Figure(
            "bytes of a journal on disk / those used and 256 KiB", on_disk / (used + (1 << 18)), 1, "lower",
            f"{on_disk:,} bytes / {used:,} bytes",
        ),
        Figure(
            "one scalar, worst while folding / 50 ms", worst_us / 50_000, 1, "lower",
            f"{worst_us / 1000:.2f} ms / 50 ms",
        ),
        Figure(
            "one scalar, worst while folding / commit, worst", worst_us / worst_commit, None, "lower",
            f"{worst_us / 1000:.2f} ms in {calls:,} of {scale.points:,} calls beside a fold / {worst_commit / 1000:.2f} ms",
        ),
    ]  # fmt: skip


def _beside_a_busy_thread(training: mm.Run, calls: int) -> float:
    """The median call in microseconds while another thread computes, which gives up the interpreter every 5 ms only."""
    over = threading.Event()

    def compute() -> None:
        while not over.is_set():
            sum(range(100))

    thread = threading.Thread(target=compute)
    thread.start()
    try:
        return median_us(each_call_ns(lambda: training.log(loss=0.25), calls))
    finally:
        over.set()
        thread.join()


def _worst_while_folding(training: mm.Run, points: int) -> tuple[float, int]:
    """The worst call in microseconds among those made while another thread folds, and how many those were."""
    worst = calls = 0
    idle = threading.active_count()
    for _ in range(points):
        before = threading.active_count()
        begin = perf_counter_ns()
        training.log(loss=0.25)
        end = perf_counter_ns()
        # Counted before and after: the call that begins a fold, and the one during which it ends, belong to it.
        if max(before, threading.active_count()) > idle:
            worst = max(worst, end - begin)
            calls += 1
    return worst / 1000, calls
