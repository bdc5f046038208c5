"""The rows of predictions: batches that wait, and folds of many. Alone writes `prediction_batches`, `prediction_schemas`.

A row of few predictions holds them itself; one of many names the objects that do. Nothing is ever changed in place: rows
are put, and rows are replaced by others that hold the same predictions, or fewer.
"""

from __future__ import annotations

import functools
import sqlite3
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from modelmgmt.errors import CorruptDataError
from modelmgmt.observe.cells import Schema, first_bytes, read_schema
from modelmgmt.store.rows import row_crc, verified

BATCHES, SCHEMAS = "prediction_batches", "prediction_schemas"


@dataclass(frozen=True, slots=True)
class Target:
    """Which model predicted: a package, whose it is, and under which name it was asked for."""

    model: str | None
    number: int | None
    label: str | None
    run: str | None
    artifact: str | None
    package: str

    @property
    def reference(self) -> str:
        """`churn:3`, `run:ID/NAME`, or the package's digest where it is nobody's."""
        if self.model is not None:
            return f"{self.model}:{self.number}"
        return f"run:{self.run}/{self.artifact}" if self.run is not None else f"package:{self.package}"


@dataclass(frozen=True, slots=True)
class BatchRow:
    """A row of `prediction_batches`; its fields are the columns in their order."""

    id: str
    model: str | None
    number: int | None
    label: str | None
    run: str | None
    artifact: str | None
    package: str
    schema: str
    rows: int
    first_at: str
    last_at: str
    data: bytes | None
    content_digest: str | None
    lookup_digest: str | None

    @property
    def target(self) -> Target:
        return Target(self.model, self.number, self.label, self.run, self.artifact, self.package)

    @property
    def is_folded(self) -> bool:
        return self.data is None


COLUMNS = tuple(field.name for field in fields(BatchRow))
_SELECT = f"SELECT {', '.join(COLUMNS)}, crc FROM {BATCHES}"
_INSERT = f"INSERT OR IGNORE INTO {BATCHES} VALUES ({', '.join('?' * (len(COLUMNS) + 1))})"
_INSERT_SCHEMA = f"INSERT OR IGNORE INTO {SCHEMAS} VALUES (?, ?, ?)"

MAX_SEARCHED = 100
"""Ids that are looked for inside rows; of more, every row is read."""

Where = tuple[str, tuple[Any, ...]]
"""A condition in SQL, and the values that are bound to it."""
EVERYTHING: Where = ("1", ())
NOTHING: Where = ("0", ())


def waiting(batch: str, target: Target, schema: Schema, rows: int, time: str, data: bytes) -> BatchRow:
    """The row of a small batch, which holds its predictions itself."""
    about = (target.model, target.number, target.label, target.run, target.artifact, target.package)
    return BatchRow(batch, *about, schema.fingerprint, rows, time, time, data, None, None)


def touch(connection: sqlite3.Connection) -> None:
    """A change that changes nothing. A key is set to itself: of other columns SQLite sees that they are as before."""
    for (key,) in connection.execute(f"SELECT fingerprint FROM {SCHEMAS} LIMIT 1").fetchall():
        connection.execute(f"UPDATE {SCHEMAS} SET fingerprint = ? WHERE fingerprint = ?", (key, key))


def put(connection: sqlite3.Connection, row: BatchRow, schema: Schema) -> None:
    """Write a row, and what its columns are. A row that is there already stays as it is."""
    connection.execute(_INSERT_SCHEMA, _schema_row(schema.fingerprint, schema.text))
    connection.execute(_INSERT, (*_values(row), _crc(row)))


def replace(connection: sqlite3.Connection, old: Sequence[BatchRow], new: BatchRow | None, schema: Schema) -> bool:
    """Put one row in the place of others, which hold the same predictions or more. Nothing, and False, when one is gone."""
    # By its checksum, too: a batch of which some was erased has the same id, and must not come back whole.
    keys = [(row.id, _crc(row)) for row in old]
    there = f"SELECT 1 FROM {BATCHES} WHERE id = ? AND crc = ?"
    if not all(connection.execute(there, key).fetchone() for key in keys):
        return False
    connection.executemany(f"DELETE FROM {BATCHES} WHERE id = ? AND crc = ?", keys)
    if new is not None:
        put(connection, new, schema)
    return True


def select(
    connection: sqlite3.Connection, where: Where = EVERYTHING, order: str = "first_at, id"
) -> Iterator[BatchRow]:
    """Rows, verified, oldest first unless `order` says otherwise. Raises CorruptDataError."""
    condition, values = where
    for row in connection.execute(f"{_SELECT} WHERE {condition} ORDER BY {order}", values):
        yield BatchRow(*verified(BATCHES, row))


def schema(connection: sqlite3.Connection, fingerprint: str) -> Schema:
    """The columns of a row. Raises CorruptDataError."""
    row = connection.execute(f"SELECT fingerprint, columns, crc FROM {SCHEMAS} WHERE fingerprint = ?", (fingerprint,))
    found = row.fetchone()
    if found is None:
        raise CorruptDataError(
            f"The columns of some predictions are lost ({fingerprint}): run 'modelmgmt store check'."
        )
    return read_schema(verified(SCHEMAS, found)[1])


def prune_schemas(connection: sqlite3.Connection) -> None:
    """Remove the schemas that no row has any more."""
    connection.execute(f"DELETE FROM {SCHEMAS} WHERE fingerprint NOT IN (SELECT schema FROM {BATCHES})")


def both(*conditions: Where) -> Where:
    """All of them at once."""
    return _combined(" AND ", conditions)


def either(*conditions: Where) -> Where:
    """At least one of them."""
    return _combined(" OR ", conditions)


def _combined(word: str, conditions: Sequence[Where]) -> Where:
    text = word.join(f"({one})" for one, _ in conditions)
    return text, tuple(value for _, values in conditions for value in values)


def may_hold(keys: Collection[str]) -> Where:
    """Rows that may have one of these ids or batches: each fold, and of those that wait the ones with the text in them."""
    if len(keys) > MAX_SEARCHED:
        return EVERYTHING
    texts = [key.encode() for key in keys]
    names = ", ".join("?" * len(keys))
    inside = " OR ".join(["instr(data, ?)"] * len(keys)) or "0"
    # Of one row the id is at the beginning; else it may be anywhere.
    alone = " OR ".join(["substr(data, 1, length(?)) = ?"] * len(keys)) or "0"
    firsts = [first_bytes(text) for text in texts for _ in range(2)]
    return f"data IS NULL OR id IN ({names}) OR iif(rows = 1, {alone}, {inside})", (*keys, *firsts, *texts)


def equal(values: Mapping[str, Any]) -> Where:
    """Columns that have these values; None is NULL."""
    return " AND ".join(f"{name} IS ?" for name in values) or "1", tuple(values.values())


def _values(row: BatchRow) -> tuple[Any, ...]:
    return tuple(getattr(row, name) for name in COLUMNS)


def _crc(row: BatchRow) -> int:
    return row_crc(BATCHES, _values(row))


@functools.lru_cache(maxsize=256)
def _schema_row(fingerprint: str, text: str) -> tuple[str, str, int]:
    return fingerprint, text, row_crc(SCHEMAS, (fingerprint, text))
