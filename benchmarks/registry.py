"""The registry: a reference looked up, a version promoted, the past worked out, among many versions."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from itertools import cycle
from pathlib import Path

import modelmgmt as mm
from benchmarks.measure import Figure, Scale, folder, in_turns, median_us, per_call_in_turns
from modelmgmt.models.registry.decisions import decide
from modelmgmt.models.registry.reference import resolve
from modelmgmt.models.registry.stages import Stages

BASELINE = (
    "Plain `sqlite3` on the same `store.db`, one connection kept open: one row of `model_versions` by its primary key; and, "
    "for a promotion, one row inserted and committed with `synchronous = FULL` into a file beside it."
)
_ROW = "SELECT digest FROM model_versions WHERE model = 'churn' AND number = 7"


def run(place: Path, scale: Scale) -> list[Figure]:
    versions = scale.runs // 2
    with folder(place) as here, mm.Store(here / "store") as store:
        _fill(store, versions)
        model = store.models["churn"]
        model.promote(7, "production")
        with closing(sqlite3.connect(store.path / "store.db")) as connection, closing(_beside(here)) as beside:
            numbers = cycle((8, 9))
            taken = per_call_in_turns(
                {
                    "resolve": (lambda: resolve(store._kernel, "churn@production"), scale.calls // 10),
                    "row": (lambda: connection.execute(_ROW).fetchone(), scale.calls),
                    "promote": (lambda: model.promote(next(numbers), "production"), scale.calls // 50),
                    "commit": (lambda: _commit(beside), scale.calls // 50),
                },
                scale.rounds,
                between=lambda: None,
            )
            whole = in_turns({"at": model.as_of, "rows": lambda: _every_row(connection)}, scale.repeats)
    us = {name: median_us(nanoseconds) for name, nanoseconds in taken.items()}
    return [
        Figure(
            "resolve churn@production / 1 ms", us["resolve"] / 1000, 1.0, "lower",
            f"{us['resolve']:.0f} us among {versions:,} versions",
        ),
        Figure(
            "resolve churn@production / one row by its key", us["resolve"] / us["row"], None, "lower",
            f"{us['resolve']:.0f} us / {us['row']:.0f} us; four rows, each with its checksum",
        ),
        Figure(
            "promote / durable commit of one row", us["promote"] / us["commit"], None, "lower",
            f"{us['promote'] / 1000:.2f} ms / {us['commit'] / 1000:.2f} ms; an event, two rows, the policy asked",
        ),
        Figure(
            "at(now) from every event / every event as a plain row", whole["at"] / whole["rows"], None, "lower",
            f"{whole['at'] * 1000:.0f} ms / {whole['rows'] * 1000:.0f} ms; {versions:,} versions and more events",
        ),
    ]  # fmt: skip


def _fill(store: mm.Store, count: int) -> None:
    """In one transaction: what is measured is not how they came."""
    digest = store._kernel.objects.put_bytes(b"weights").digest
    package = {"run": None, "artifact": None, "digest": digest, "format": "raw", "description": ""}
    with store._kernel.database.writing() as connection:
        about = {"description": "", "stages": Stages().encode(), "policy": "{}", "last_number": 0}
        decide(connection, "model.created", "churn", about)
        for number in range(1, count + 1):
            decide(connection, "model.registered", "churn", {"version": number, "stage": "development", **package})


def _beside(here: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(here / "plain.db")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("CREATE TABLE promotions (id INTEGER PRIMARY KEY, model TEXT, number INTEGER, stage TEXT)")
    return connection


def _commit(connection: sqlite3.Connection) -> None:
    connection.execute("INSERT INTO promotions (model, number, stage) VALUES ('churn', 3, 'production')")
    connection.commit()


def _every_row(connection: sqlite3.Connection) -> list[tuple[object, ...]]:
    return connection.execute("SELECT * FROM events WHERE subject = 'churn' ORDER BY id").fetchall()
