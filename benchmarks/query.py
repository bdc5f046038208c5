"""Finding runs among many, and putting them into a frame."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import modelmgmt as mm
from benchmarks.measure import Figure, Scale, folder, in_turns
from benchmarks.runs import METRICS, PARAMS
from modelmgmt.store.rows import row_crc

BASELINE = (
    "Plain `sqlite3` on the same `store.db`: the same condition as handwritten SQL, then the same rows of runs, params, "
    "metrics and tags fetched for those runs, and left as rows."
)
FILTER = "params.lr < 0.5 and metrics.loss < 0.9 and tags.team = 'a'"

# Handwritten; the same runs as FILTER.
_WHERE = """
    EXISTS (SELECT 1 FROM params WHERE run = runs.id AND key = 'lr' AND value < 0.5)
    AND EXISTS (SELECT 1 FROM metrics WHERE run = runs.id AND key = 'loss' AND last < 0.9)
    AND EXISTS (SELECT 1 FROM tags WHERE run = runs.id AND key = 'team' AND value = 'a')
"""


def run(place: Path, scale: Scale) -> list[Figure]:
    with folder(place) as here, mm.Store(here / "store") as store:
        _fill(store, scale.runs)
        matching = len(store.runs(FILTER))
        with closing(sqlite3.connect(store.path / "store.db")) as connection:
            taken = in_turns(
                {
                    "filter": lambda: store.runs(FILTER),
                    "filter rows": lambda: _rows(connection, _WHERE, runs_only=True),
                    "newest": lambda: store.runs(FILTER, limit=100).to_frame(),
                    "frame": lambda: store.runs(FILTER).to_frame(),
                    "frame rows": lambda: _rows(connection, _WHERE),
                    "all": lambda: store.runs().to_frame(),
                    "all rows": lambda: _rows(connection, "1"),
                },
                scale.repeats,
            )
    return [
        Figure(
            f"{what} / plain sqlite3", taken[name] / taken[f"{name} rows"], None, "lower",
            f"{taken[name] * 1000:.0f} ms / {taken[name + ' rows'] * 1000:.0f} ms; {detail}",
        )
        for what, name, detail in (
            ("filter many runs", "filter", f"{matching:,} of {scale.runs:,} match"),
            ("filter and to_frame", "frame", f"the newest 100 of them {taken['newest'] * 1000:.0f} ms"),
            ("to_frame of all runs", "all", f"{scale.runs:,} runs of {_cells()} cells"),
        )
    ]  # fmt: skip


def _rows(connection: sqlite3.Connection, where: str, *, runs_only: bool = False) -> list[list[tuple[object, ...]]]:
    statements = [f"SELECT runs.* FROM runs WHERE {where} ORDER BY id DESC"]
    if not runs_only:
        statements += [
            f"SELECT {columns} FROM {table} WHERE run IN (SELECT id FROM runs WHERE {where})"
            for table, columns in (
                ("params", "run, key, value, type"),
                ("metrics", "run, key, last"),
                ("tags", "run, key, value"),
            )
        ]
    return [connection.execute(statement).fetchall() for statement in statements]


def _cells() -> int:
    return 10 + len(METRICS) + 1


def _fill(store: mm.Store, count: int) -> None:
    """One run through the library, then copies of its rows by SQL: 20,000 durable runs would take minutes."""
    with store.start_run("query", params=PARAMS, tags={"team": "a"}) as first:
        first.log(METRICS)
    with closing(sqlite3.connect(store.path / "store.db")) as connection, connection:
        connection.create_function("checksum", -1, lambda table, *values: row_crc(table, values))
        connection.execute("CREATE TEMP TABLE copies (n INTEGER PRIMARY KEY, id TEXT)")
        connection.executemany(
            "INSERT INTO copies VALUES (?, ?)", ((n, f"{first.id[:-6]}{n:06d}") for n in range(1, count))
        )
        _copy(connection, "runs", {"id": "copies.id", "name": "'run-' || n", "number": "n + 1"})
        rate = "CASE key WHEN 'lr' THEN (n % 97) / 97.0 ELSE value END"
        _copy(connection, "params", {"run": "copies.id", "value": rate})
        _copy(connection, "tags", {"run": "copies.id", "value": "CASE n % 2 WHEN 0 THEN 'a' ELSE 'b' END"})
        _copy(connection, "metrics", {"run": "copies.id", "last": "last + (n % 89) / 89.0"})


def _copy(connection: sqlite3.Connection, table: str, changed: dict[str, str]) -> None:
    names = [row[1] for row in connection.execute(f"PRAGMA table_info({table})") if row[1] != "crc"]
    select = ", ".join(f"{changed.get(name, f'{table}.{name}')} AS {name}" for name in names)
    columns = ", ".join(names)
    connection.execute(
        f"INSERT INTO {table} ({columns}, crc) SELECT {columns}, checksum('{table}', {columns}) "
        f"FROM (SELECT {select} FROM {table}, copies)"
    )
