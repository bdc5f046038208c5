"""A checksum for every row of the record tables: SQLite would hand out a flipped bit as a value. Pure."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from typing import Any
from zlib import crc32

from modelmgmt.errors import CorruptDataError

CHECKSUM = "crc"
"""The name of the column, the last of each record table."""


def row_crc(table: str, values: Sequence[Any]) -> int:
    """The CRC-32 of the table's name and the row's values as text, joined by the unit separator; NULL is a NUL.

    A BLOB stands for itself by its own CRC-32, in decimal.

    >>> row_crc("tags", ("r1", "team", "a"))
    4010629482
    """
    parts = ["\0" if value is None else str(crc32(value) if type(value) is bytes else value) for value in values]
    return crc32("\x1f".join([table, *parts]).encode("utf-8", "surrogatepass"))


def verified(table: str, row: Sequence[Any]) -> Sequence[Any]:
    """The row without its last value, the checksum. Raises CorruptDataError when it does not fit."""
    values = row[:-1]
    if row_crc(table, values) != row[-1]:
        raise CorruptDataError(
            f"A row of the table {table} is damaged, it begins with {values[:2]!r}: run 'modelmgmt store check', then "
            "restore a backup."
        )
    return values


def record_tables(connection: sqlite3.Connection) -> dict[str, list[str]]:
    """The columns of every table whose rows carry a checksum, parents before children."""
    tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY rowid").fetchall()
    columns = {table: column_names(connection, table) for (table,) in tables}
    return {table: names for table, names in columns.items() if names[-1:] == [CHECKSUM]}


def column_names(connection: sqlite3.Connection, table: str) -> list[str]:
    """The columns of a table, in order."""
    return [name for _, name, *_ in connection.execute(f'PRAGMA table_info("{table}")').fetchall()]


def checked_columns(table: str, columns: Sequence[str]) -> list[str]:
    """The columns that a row's checksum is over, and the checksum. A note's number is the table's own."""
    return [name for name in columns if not (table == "notes" and name == "id")]


def from_json(what: str, text: object, shape: Any) -> Any:
    """What JSON holds; `what` says where. Raises CorruptDataError for something else, which a stranger may have written.

    `shape` is a type (`object`: anything, `float`: any number), `[shape]`, `[shape, shape]` for a list of that length,
    `{str: shape}`, a mapping of some keys to their shapes, or a tuple of shapes of which one must fit (none: nothing does).

    >>> from_json("code_versions.left_out", '[["a.csv", "data"]]', [[str, str]])
    [['a.csv', 'data']]
    """
    try:
        value = json.loads(text)  # type: ignore[arg-type]
        if _fits(value, shape):
            return value
    except (TypeError, ValueError, RecursionError):
        pass
    text = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
    raise CorruptDataError(
        f"The content of {what} is damaged, it begins with {str(text)[:60]!r}: run 'modelmgmt store check', then restore a "
        "backup."
    )


def _fits(value: Any, shape: Any) -> bool:
    if isinstance(shape, tuple):
        return any(_fits(value, one) for one in shape)
    if isinstance(shape, list):
        if not isinstance(value, list) or (len(shape) > 1 and len(value) != len(shape)):
            return False
        return all(map(_fits, value, shape if len(shape) > 1 else shape * len(value)))
    if isinstance(shape, dict):
        if not isinstance(value, dict):
            return False
        if str in shape:
            return all(_fits(one, shape[str]) for one in value.values())
        return all(_fits(value.get(key), below) for key, below in shape.items())
    return shape is object or type(value) is shape or (shape is float and type(value) is int) or value is shape
