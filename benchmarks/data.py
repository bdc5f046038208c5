"""Versions of data: the fingerprint of a table, and what a second version of it costs."""

from __future__ import annotations

import hashlib
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import pandas as pd

import modelmgmt as mm
from benchmarks.measure import Figure, Scale, folder, in_turns
from modelmgmt.store.collect import expanded
from modelmgmt.versions.data.fingerprint import fingerprint
from modelmgmt.versions.data.profile import profile
from modelmgmt.versions.data.sources import table_of

BASELINE = (
    "For time: SHA-256 over the same bytes in one piece, by hashlib. For size: the bytes of the table in memory. The table "
    "has 20 columns of random doubles, which hardly compress; 1 % of its rows are new or changed."
)
COLUMNS = 20
_TARGET_MB_S = 500
_FULL_POINTS = 1_000_000


def run(place: Path, scale: Scale) -> list[Figure]:
    return [*_speed(scale), *_second_versions(place, scale)]


def _speed(scale: Scale) -> list[Figure]:
    frame = _frame(scale.points, np.random.default_rng(0))
    raw = np.ascontiguousarray(frame.to_numpy().T)
    size = raw.nbytes / 1e6
    calls = {
        "fingerprint": lambda: fingerprint(table_of(frame)),
        "profile": lambda: profile(table_of(frame)),
        "sha256": lambda: hashlib.sha256(raw.data).digest(),
    }
    taken = in_turns(calls, scale.repeats)
    ours, described, plain = taken["fingerprint"], taken["profile"], taken["sha256"]
    speed = f"{size / ours:.0f} MB/s / {size / plain:.0f} MB/s, {size:.0f} MB"
    return [
        Figure("fingerprint of a table / sha256", ours / plain, None, "lower", speed),
        Figure("500 MB/s / fingerprint of a table", _TARGET_MB_S * ours / size, 1, "lower", f"{size / ours:.0f} MB/s"),
        Figure("profile of a table / sha256", described / plain, None, "lower", f"{described:.2f} s, {size:.0f} MB"),
    ]


def _second_versions(place: Path, scale: Scale) -> list[Figure]:
    """Each is logged after the first one, in a store of its own kind of change."""
    random = np.random.default_rng(1)
    rows = scale.points if scale.points < _FULL_POINTS else 3_125_000  # 500 MB
    first = _frame(rows, random)
    size, figures = int(first.memory_usage(index=False).sum()), []
    with folder(place) as here, mm.Store(here / "store") as store, store.start_run("data") as training:
        for name, second in _changes(first, random).items():
            before = _objects(store, training.log_dataset(first, name, keep=True))
            begin = perf_counter()
            version = training.log_dataset(second, name, keep=True)
            took = perf_counter() - begin
            extra = sum(store._kernel.objects.size(digest) for digest in _objects(store, version) - before)
            detail = f"{extra / 1e6:.1f} MB of {size / 1e6:.0f} MB, {took:.1f} s"
            figures.append(Figure(f"extra bytes, 1 % {name} / the table", extra / size, 0.05, "lower", detail))
    return figures


def _objects(store: mm.Store, version: Any) -> set[str]:
    """All that a version is made of: its profile, its tree, and what that names."""
    return expanded(store._kernel, {version.profile_digest, version.content_digest})


def _changes(first: pd.DataFrame, random: np.random.Generator) -> dict[str, pd.DataFrame]:
    rows, some = len(first), max(1, len(first) // 100)
    new = _frame(some, random)
    block, here_and_there = first.copy(), first.copy()
    block.iloc[rows // 3 : rows // 3 + some] += 1
    here_and_there.iloc[random.choice(rows, some, replace=False)] += 1
    return {
        "appended": pd.concat([first, new], ignore_index=True),
        "inserted": pd.concat([first[: rows // 2], new, first[rows // 2 :]], ignore_index=True),
        "changed in a block": block,
        "changed here and there": here_and_there,
    }


def _frame(rows: int, random: np.random.Generator) -> pd.DataFrame:
    return pd.DataFrame({f"c{place}": random.normal(size=rows) for place in range(COLUMNS)})
