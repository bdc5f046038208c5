"""Params: any JSON shape, kept flat with its types. Alone writes the table `params`."""

from __future__ import annotations

import enum
import json
import math
import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from modelmgmt.errors import InvalidTypeError, InvalidValueError, ParamConflictError
from modelmgmt.store.names import check_name
from modelmgmt.store.rows import row_crc, verified

COLUMNS = "run, key, value, type, path, crc"
MAX_DEPTH = 64
MAX_TEXT_CHARS = 100_000
MAX_INT_BITS = 10_000  # Python reads integers of up to 4,300 digits

Value = None | bool | int | float | str | list[Any] | dict[str, Any]


@dataclass(frozen=True, slots=True)
class Param:
    """One row of the table: a flat key, and the value as SQLite sees it."""

    key: str
    value: int | float | str | None
    type: str
    path: str | None

    def decode(self) -> Value:
        """The value with its type given back."""
        match self.type:
            case "bool":
                return bool(self.value)
            case "int":
                return int(self.value or 0)
            case "float":
                return math.nan if self.value is None else float(self.value)
            case "json":
                loaded: Value = json.loads(str(self.value))
                return loaded
            case _:
                return self.value


def flatten(params: object) -> list[Param]:
    """The rows for a mapping, nested or not. Raises InvalidNameError, InvalidTypeError, InvalidValueError.

    >>> [(p.key, p.value, p.type) for p in flatten({"lr": 0.1, "net": {"layers": [64, 64]}})]
    [('lr', 0.1, 'float'), ('net.layers', '[64, 64]', 'json')]
    """
    if not isinstance(params, Mapping):
        message = f"Params are a mapping of names to values, and {type(params).__name__} was given: pass a dict."
        raise InvalidTypeError(message)
    rows: dict[str, Param] = {}
    for parts, value in _leaves(params, (), ()):
        row = _row(parts, value)
        other = rows.setdefault(row.key, row)
        if other is not row:
            raise InvalidValueError(f"Two params have the name {row.key!r} once nested names are joined: rename one.")
    return list(rows.values())


def nest(rows: Iterable[Param]) -> dict[str, Any]:
    """The nested mapping that `flatten` was given.

    >>> nest(flatten({"a": {"b": 1, "c": {}}, "x.y": 2}))
    {'a': {'b': 1, 'c': {}}, 'x.y': 2}
    """
    root: dict[str, Any] = {}
    for row in rows:
        parts = json.loads(row.path) if row.path else row.key.split(".")
        node = root
        for part in parts[:-1]:
            below = node.setdefault(part, {})
            if not isinstance(below, dict):
                # Both a and a.b were logged, at different times: keep the longer one under its joined name.
                parts = [row.key]
                node = root
                break
            node = below
        node[parts[-1]] = row.decode()
    return root


def write(connection: sqlite3.Connection, run: str, rows: Iterable[Param], *, overwrite: bool) -> None:
    """Insert rows; the same value again is fine, another value raises ParamConflictError."""
    for row in rows:
        if not overwrite:
            _refuse_change(connection, run, row)
        values = (run, row.key, row.value, row.type, row.path)
        connection.execute(
            f"INSERT OR REPLACE INTO params ({COLUMNS}) VALUES (?, ?, ?, ?, ?, ?)", (*values, row_crc("params", values))
        )


def read(connection: sqlite3.Connection, run: str) -> list[Param]:
    """The params of a run, by key."""
    rows = connection.execute(f"SELECT {COLUMNS} FROM params WHERE run = ? ORDER BY key", (run,))
    return [from_row(row) for row in rows]


def from_row(row: Sequence[Any]) -> Param:
    """The param of a row with `COLUMNS`. Raises CorruptDataError."""
    return Param(*verified("params", row)[1:])


def _refuse_change(connection: sqlite3.Connection, run: str, row: Param) -> None:
    found = connection.execute(f"SELECT {COLUMNS} FROM params WHERE run = ? AND key = ?", (run, row.key)).fetchone()
    if found is None:
        return
    before = from_row(found)
    if (before.type, before.value) != (row.type, row.value):
        message = (
            f"The param {row.key!r} of run {run} is {before.decode()!r}, and {row.decode()!r} was logged: a param is what "
            "the run was started with. Use a metric for what changes, or overwrite=True to correct it."
        )
        raise ParamConflictError(message)


def _leaves(node: Mapping[Any, Any], parts: tuple[str, ...], above: tuple[int, ...]) -> Iterator[tuple[Any, Any]]:
    if id(node) in above:
        raise InvalidValueError(f"The params contain themselves at {'.'.join(parts)!r}: remove the cycle.")
    if len(above) >= MAX_DEPTH:
        raise InvalidValueError(
            f"The params are nested more than {MAX_DEPTH} deep: flatten them, or log them as a dict."
        )
    for key, value in node.items():
        if not isinstance(key, (str, int, float, bool)):
            raise InvalidTypeError(f"A param's name is a str, and {key!r} is of type {type(key).__name__}.")
        below = (*parts, str(key))
        if isinstance(value, Mapping) and value:
            yield from _leaves(value, below, (*above, id(node)))
        else:
            yield below, value


def _row(parts: tuple[str, ...], value: object) -> Param:
    key = check_name(".".join(parts), "param")
    path = json.dumps(parts) if any("." in part for part in parts) else None
    kind, kept = _typed(key, value)
    return Param(key, kept, kind, path)


def _typed(key: str, value: Any) -> tuple[str, int | float | str | None]:
    value = _plain(value)
    match value:
        case None:
            return "null", None
        case bool():
            return "bool", int(value)
        case int():
            return "int", value if -(1 << 63) <= value < 1 << 63 else str(_checked_int(key, value))
        case float():
            # SQLite has no NaN, and gives -0.0 back as 0.0.
            return "float", None if math.isnan(value) else value + 0.0
        case str():
            return "str", _text(key, value)
        case list() | dict():
            return "json", _text(key, json.dumps(_json(key, value, 0), ensure_ascii=False))
    message = (
        f"The param {key!r} is of type {type(value).__name__}: a param is a number, text, True, False, None, or lists and "
        "mappings of them. Pass str(...) of it, or keep it as an artifact."
    )
    raise InvalidTypeError(message)


def _plain(value: Any) -> Any:
    """Values that stand for a JSON value: numpy scalars and small arrays, paths, enums, dates, tuples."""
    if isinstance(value, enum.Enum):
        value = value.value
    if hasattr(value, "dtype") and hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, os.PathLike):
        value = os.fspath(value)
    if isinstance(value, (datetime, date)):
        return value.isoformat()
    if isinstance(value, tuple):
        return list(value)
    if isinstance(value, Mapping) and not isinstance(value, dict):
        return dict(value)
    if isinstance(value, bool):
        return value  # a bool is an int, too
    # Subclasses (numpy.float64 is a float) become the plain type, so that what is read back is the plain type.
    for plain in (int, float, str):
        if isinstance(value, plain) and type(value) is not plain:
            return plain(value)
    return value


def _json(key: str, value: Any, depth: int) -> Any:
    if depth > MAX_DEPTH:
        raise InvalidValueError(f"The param {key!r} is nested more than {MAX_DEPTH} deep, or contains itself.")
    value = _plain(value)
    if isinstance(value, int):
        return _checked_int(key, value)
    if value is None or isinstance(value, (float, str)):
        return value
    if isinstance(value, list):
        return [_json(key, item, depth + 1) for item in value]
    if isinstance(value, Mapping):
        if len({str(name) for name in value}) < len(value):
            raise InvalidValueError(f"The param {key!r} holds a mapping with two names that read the same: rename one.")
        return {str(name): _json(key, item, depth + 1) for name, item in value.items()}
    raise InvalidTypeError(f"The param {key!r} holds a {type(value).__name__}: use numbers, text, lists and mappings.")


def _checked_int(key: str, value: int) -> int:
    if value.bit_length() > MAX_INT_BITS:
        raise InvalidValueError(f"The param {key!r} is an integer of thousands of digits: keep it with log_text.")
    return value


def _text(key: str, value: str) -> str:
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise InvalidValueError(f"The param {key!r} is not valid Unicode text ({error.reason}).") from error
    if "\0" in value:
        raise InvalidValueError(f"The param {key!r} has a NUL character: remove it, or log the bytes as an artifact.")
    if len(value) > MAX_TEXT_CHARS:
        message = f"The param {key!r} has {len(value):,} characters, {MAX_TEXT_CHARS:,} are allowed: use log_text."
        raise InvalidValueError(message)
    return value
