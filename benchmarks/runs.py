"""Making runs: from `start_run` to after `finish()`."""

from __future__ import annotations

from pathlib import Path

import modelmgmt as mm
from benchmarks.measure import Figure, Scale, folder, median_us, per_call_in_turns, percentile_us
from benchmarks.rows import Committer, table

BASELINE = (
    "5 ms a run. Beside it, one insert and commit into a SQLite table in WAL mode with synchronous=FULL: what any "
    "promise to survive a power cut costs at least on this disk."
)
ALLOWED_MS = 5.0

PARAMS = {
    "lr": 0.001, "batch_size": 64, "epochs": 10, "optimizer": "adam", "momentum": 0.9, "dropout": 0.1, "seed": 7,
    "augment": True, "model": {"depth": 18, "width": 64},
}  # fmt: skip
METRICS = {"loss": 0.25, "accuracy": 0.91, "f1": 0.88, "precision": 0.9, "recall": 0.86}


def run(place: Path, scale: Scale) -> list[Figure]:
    with (
        folder(place) as here,
        table(here / "rows.db", synchronous="FULL") as connection,
        mm.Store(here / "store") as store,
    ):

        def one_run() -> None:
            with store.start_run("runs", params=PARAMS) as training:
                training.log(METRICS)

        one_run()  # what is imported at the first use is not what is measured
        rounds = min(10, scale.created_runs)
        taken = per_call_in_turns(
            {
                "run": (one_run, scale.created_runs // rounds),
                "commit": (Committer(connection), scale.created_runs // rounds),
            },
            rounds,
            between=store._kernel.series.settle,
        )
    made, commit = median_us(taken["run"]) / 1000, median_us(taken["commit"]) / 1000
    p99 = percentile_us(taken["run"], 99) / 1000
    return [
        Figure(
            "a run with 10 params and 5 metrics / 5 ms", made / ALLOWED_MS, 1, "lower",
            f"{made:.2f} ms; p99 {p99:.2f} ms",
        ),
        Figure(
            "a run with 10 params and 5 metrics / durable commit", made / commit, None, "lower",
            f"{made:.2f} ms / {commit:.2f} ms",
        ),
    ]  # fmt: skip
