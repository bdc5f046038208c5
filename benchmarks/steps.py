"""What a pipeline step costs: a call that is recorded, and one that is skipped."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np

import modelmgmt as mm
from benchmarks.measure import Figure, Scale, folder, in_turns, median_us, per_call_in_turns
from benchmarks.rows import Committer, table

BASELINE = (
    "One `execute('INSERT ...')` and one `commit()` on a SQLite table in WAL mode with synchronous=NORMAL and an index. For "
    "large inputs: `hashlib.sha256` over the bytes of the same array."
)


@mm.step
def recorded(x: float) -> float:
    return x + 1


@mm.step(cache=True)
def cached(x: float) -> float:
    return x + 1


@mm.step
def large(x: object) -> float:
    del x
    return 1.0


def run(place: Path, scale: Scale) -> list[Figure]:
    array = np.random.default_rng(0).normal(size=scale.file_bytes // 8)
    with (
        folder(place) as here,
        table(here / "rows.db") as rows,
        mm.Store(here / "store") as store,
        store.start_run("steps", code=False),
    ):
        cached(0.5)
        calls = max(scale.calls // 50, 10)
        taken = per_call_in_turns(
            {
                "recorded": (lambda: recorded(0.5), calls),
                "cached": (lambda: cached(0.5), calls),
                "commit": (Committer(rows), calls),
            },
            max(scale.rounds // 4, 2),
            between=store._kernel.series.settle,
        )
        whole = in_turns(
            {"large": lambda: large(array), "sha256": lambda: hashlib.sha256(array.view("u1").data).digest()},
            scale.repeats,
        )
    commit = median_us(taken["commit"])
    figures = [
        Figure(
            f"{words} / commit, median", median_us(taken[name]) / commit, None, "lower",
            f"{median_us(taken[name]):.0f} us / {commit:.0f} us",
        )
        for words, name in (("a recorded call", "recorded"), ("a skipped call", "cached"))
    ]  # fmt: skip
    gigabytes = array.nbytes / 1e9
    return [
        *figures,
        Figure(
            "a call with a large array / SHA-256 of it", whole["large"] / whole["sha256"], None, "lower",
            f"{gigabytes / whole['large']:.2f} GB/s / {gigabytes / whole['sha256']:.2f} GB/s",
        ),
    ]  # fmt: skip
