"""The tables of `store.db`, as forward-only steps. Each is a file that opens with what changes on disk.

Record tables hold plain values under plain names: a person reads them with `sqlite3`. A record table's last column is
`crc`, the checksum of the values before it; whatever has one is checked, rebuilt and shown to be whole without being
named again. `docs/explain/store-format.md` is the public description of what is written here.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlite_utils import Database, Migrations

from modelmgmt.store.schema import m0001, m0002, m0003, m0004, m0005

migrations = Migrations("modelmgmt")


@migrations()
def m0001_runs_and_series(db: Database) -> None:
    _apply(db, m0001.STATEMENTS)


@migrations()
def m0002_decisions(db: Database) -> None:
    _apply(db, m0002.STATEMENTS)


@migrations()
def m0003_versions(db: Database) -> None:
    _apply(db, m0003.STATEMENTS)


@migrations()
def m0004_models(db: Database) -> None:
    _apply(db, m0004.STATEMENTS)


@migrations()
def m0005_predictions(db: Database) -> None:
    _apply(db, m0005.STATEMENTS)


def _apply(db: Database, statements: Sequence[str]) -> None:
    for statement in statements:
        db.execute(statement)
