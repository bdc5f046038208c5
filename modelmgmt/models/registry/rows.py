"""The rows of the registry, in tables or in memory.

Alone writes the tables `models`, `model_versions`, `model_aliases`, `model_tags`, `model_results` and `approvals`.
Each value here is one row, its fields the columns in their order.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Protocol, TypeVar

from modelmgmt.store.rows import row_crc, verified


@dataclass(frozen=True, slots=True)
class Row:
    """A row; `KEY` tells it from the others of its table."""

    TABLE: ClassVar[str]
    KEY: ClassVar[tuple[str, ...]]

    @property
    def identity(self) -> tuple[Any, ...]:
        return tuple(getattr(self, name) for name in self.KEY)


@dataclass(frozen=True, slots=True)
class ModelRow(Row):
    TABLE = "models"
    KEY = ("name",)

    name: str
    description: str
    stages: str
    policy: str
    last_number: int
    created_at: str
    created_by: str


@dataclass(frozen=True, slots=True)
class VersionRow(Row):
    TABLE = "model_versions"
    KEY = ("model", "number")

    model: str
    number: int
    stage: str
    entered: int
    run: str | None
    artifact: str | None
    origin: str | None
    digest: str
    format: str
    description: str
    created_at: str
    created_by: str


@dataclass(frozen=True, slots=True)
class AliasRow(Row):
    TABLE = "model_aliases"
    KEY = ("model", "alias")

    model: str
    alias: str
    number: int
    set_at: str
    set_by: str


@dataclass(frozen=True, slots=True)
class TagRow(Row):
    TABLE = "model_tags"
    KEY = ("model", "number", "key")

    model: str
    number: int
    key: str
    value: str


@dataclass(frozen=True, slots=True)
class ResultRow(Row):
    TABLE = "model_results"
    KEY = ("model", "number", "name")

    model: str
    number: int
    name: str
    passed: int | None
    mean: float | None
    dataset: str | None
    evidence_digest: str | None
    detail: str
    actor: str
    logged_at: str


@dataclass(frozen=True, slots=True)
class ApprovalRow(Row):
    TABLE = "approvals"
    KEY = ("model", "number", "stage", "actor")

    model: str
    number: int
    stage: str
    actor: str
    reason: str
    approved_at: str


KINDS: tuple[type[Row], ...] = (ModelRow, VersionRow, AliasRow, TagRow, ResultRow, ApprovalRow)
R = TypeVar("R", bound=Row)
_TOO_LARGE = 2**63  # for an integer of SQLite


class Rows(Protocol):
    """Where rows are put: the tables of a store, or memory."""

    def put(self, row: Row) -> None: ...
    def find(self, kind: type[R], *key: Any) -> R | None: ...
    def remove(self, kind: type[Row], **where: Any) -> None: ...


class Tables:
    """The rows in the tables, inside the transaction of a connection. Reading raises CorruptDataError."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def put(self, row: Row) -> None:
        """Write a row; one of the same key takes the new values."""
        values = tuple(getattr(row, name) for name in _NAMES[type(row)])
        self._connection.execute(_UPSERT[type(row)], (*values, row_crc(row.TABLE, values)))

    def find(self, kind: type[R], *key: Any) -> R | None:
        """The row with that key, or None."""
        if any(isinstance(value, int) and abs(value) >= _TOO_LARGE for value in key):
            return None
        return next(self.select(kind, **dict(zip(kind.KEY, key, strict=True))), None)

    def select(self, kind: type[R], order: str = "", **where: Any) -> Iterator[R]:
        """Rows by the values of some columns, sorted by key, or as `order` says."""
        condition = " AND ".join(f"{name} = ?" for name in where) or "1"
        sql = f"{_SELECT[kind]} WHERE {condition} ORDER BY {order or ', '.join(kind.KEY)}"
        for row in self._connection.execute(sql, tuple(where.values())):
            yield kind(*verified(kind.TABLE, row))

    def remove(self, kind: type[Row], **where: Any) -> None:
        """Remove rows by the values of some columns."""
        condition = " AND ".join(f"{name} = ?" for name in where)
        self._connection.execute(f"DELETE FROM {kind.TABLE} WHERE {condition}", tuple(where.values()))


class Memory:
    """The rows in memory, by kind and key."""

    def __init__(self) -> None:
        self.rows: dict[type[Row], dict[tuple[Any, ...], Row]] = {kind: {} for kind in KINDS}

    def put(self, row: Row) -> None:
        self.rows[type(row)][row.identity] = row

    def find(self, kind: type[R], *key: Any) -> R | None:
        return self.rows[kind].get(key)  # type: ignore[return-value]  # by kind

    def all(self, kind: type[R]) -> list[R]:
        """Every row of a kind, in the order in which they came."""
        return list(self.rows[kind].values())  # type: ignore[arg-type]  # by kind

    def remove(self, kind: type[Row], **where: Any) -> None:
        kept = self.rows[kind]
        if tuple(where) == kind.KEY:
            kept.pop(tuple(where.values()), None)
            return
        for key in [key for key, row in kept.items() if all(getattr(row, name) == v for name, v in where.items())]:
            del kept[key]


_NAMES = {kind: tuple(field.name for field in fields(kind)) for kind in KINDS}
_SELECT = {kind: f"SELECT {', '.join(names)}, crc FROM {kind.TABLE}" for kind, names in _NAMES.items()}


def _upsert(kind: type[Row]) -> str:
    # Not REPLACE, which removes the row first: other rows belong to it.
    names = (*_NAMES[kind], "crc")
    changes = ", ".join(f"{name} = excluded.{name}" for name in names)
    places = ", ".join("?" * len(names))
    key = ", ".join(kind.KEY)
    return (
        f"INSERT INTO {kind.TABLE} ({', '.join(names)}) VALUES ({places}) ON CONFLICT ({key}) DO UPDATE SET {changes}"
    )


_UPSERT = {kind: _upsert(kind) for kind in KINDS}
