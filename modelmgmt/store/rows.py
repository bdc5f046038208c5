"""A checksum for every row of the record tables: SQLite would hand out a flipped bit as a value. Pure."""

from __future__ import annotations

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
