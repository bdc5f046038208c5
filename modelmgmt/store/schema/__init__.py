"""The tables of `store.db`, as forward-only steps. Each is a file that opens with what changes on disk.

Record tables hold plain values under plain names: a person reads them with `sqlite3`. A record table's last column is
`crc`, the checksum of the values before it; whatever has one is checked, rebuilt and shown to be whole without being
named again. A step's number is the version of a store that has it; those up to 5 were of stores that are no longer read.
`docs/explain/store-format.md` is the public description of what is written here.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from sqlite_utils import Database, Migrations

from modelmgmt.store.schema import m0001, m0002, m0003, m0004, m0005

migrations = Migrations("modelmgmt")
_VIEW = re.compile(r"CREATE VIEW (\w+)")


def views() -> set[str]:
    """The names of the views."""
    steps = (m0001, m0002, m0003, m0004, m0005)
    return {name for step in steps for statement in step.STATEMENTS for name in _VIEW.findall(statement)}


@migrations()
def m0006_runs_and_series(db: Database) -> None:
    _apply(db, m0001.STATEMENTS)


@migrations()
def m0007_decisions(db: Database) -> None:
    _apply(db, m0002.STATEMENTS)


@migrations()
def m0008_versions(db: Database) -> None:
    _apply(db, m0003.STATEMENTS)


@migrations()
def m0009_models(db: Database) -> None:
    _apply(db, m0004.STATEMENTS)


@migrations()
def m0010_predictions(db: Database) -> None:
    _apply(db, m0005.STATEMENTS)


def _apply(db: Database, statements: Sequence[str]) -> None:
    for statement in statements:
        db.execute(statement)
