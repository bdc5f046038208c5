"""Params: any JSON shape, kept flat with its types. Alone writes the table `params`."""

from __future__ import annotations

import json
import math
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from modelmgmt.errors import InvalidTypeError, InvalidValueError, ParamConflictError, warn
from modelmgmt.store.names import check_name
from modelmgmt.store.rows import from_json, row_crc, verified
from modelmgmt.store.secrets import HIDDEN, hidden_value, holds_secrets
from modelmgmt.versions.data.values import REPAIR, advice, as_mapping, entries, key_text, plain

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

    def parts(self) -> list[str]:
        """The keys on the way to it in the mapping that was given."""
        found: list[str] = from_json("params.path", self.path, [str]) if self.path else self.key.split(".")
        return found or [self.key]

    def decode(self) -> Value:
        """The value with its type given back. Raises CorruptDataError."""
        match self.type:
            case "bool":
                return bool(self.value)
            case "int":
                return int(self.value or 0)
            case "float":
                if type(self.value) is int:  # see `_typed`
                    return -0.0
                return math.nan if self.value is None else float(self.value)
            case "json":
                loaded: Value = from_json("params.value", self.value, object)
                return loaded
            case _:
                return self.value


def flatten(params: object) -> list[Param]:
    """The rows for a mapping or another configuration, nested or not.

    Secrets are kept as `***`, with a warning: texts under a name like `api_key`, tokens of a known form, passwords in URLs.
    Raises InvalidNameError, InvalidTypeError, InvalidValueError.

    >>> [(p.key, p.value, p.type) for p in flatten({"lr": 0.1, "net": {"layers": [64, 64]}})]
    [('lr', 0.1, 'float'), ('net.layers', '[64, 64]', 'json')]
    """
    given = as_mapping(params)
    if given is None:
        message = (
            f"Params are a mapping of names to values, and {type(params).__name__} was given: pass a dict, a namespace, or "
            "an object with fields."
        )
        raise InvalidTypeError(message)
    rows: dict[str, Param] = {}
    masked: list[str] = []
    for parts, value in _leaves(given, (), (id(params),)):
        row = _row(parts, value)
        without = without_secrets(row)
        if without is not row:
            masked.append(row.key)
            row = without
        other = rows.setdefault(row.key, row)
        if other is not row:
            raise InvalidValueError(f"Two params have the name {row.key!r} once nested names are joined: rename one.")
    if masked:
        names = ", ".join(map(repr, masked[:10])) + (f" and {len(masked) - 10} more" if len(masked) > 10 else "")
        warn(f"What reads like a secret is kept as {HIDDEN} in the params {names}: leave secrets out of the params.")
    return list(rows.values())


def nest(rows: Iterable[Param]) -> dict[str, Any]:
    """The nested mapping that `flatten` was given.

    >>> nest(flatten({"a": {"b": 1, "c": {}}, "x.y": 2}))
    {'a': {'b': 1, 'c': {}}, 'x.y': 2}
    """
    root: dict[str, Any] = {}
    for row in rows:
        parts = row.parts()
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
    """`above` are the ids of the objects around `node`, itself included: each may be made a mapping anew when asked."""
    if len(above) > MAX_DEPTH:
        raise InvalidValueError(
            f"The params are nested more than {MAX_DEPTH} deep: flatten them, or log them as a dict."
        )
    for key, value in entries(node, "param", "".join(f"{part}." for part in parts)):
        below = (*parts, _key(key, f"A name below the param {'.'.join(parts)!r}" if parts else "A param's name"))
        fields = as_mapping(value)
        if fields is None or not fields:
            yield below, value if fields is None else {}
            continue
        if id(value) in above:
            raise InvalidValueError(f"The params contain themselves at {'.'.join(below)!r}: remove the cycle.")
        yield from _leaves(fields, below, (*above, id(value)))


def _key(key: object, what: str) -> str:
    if (name := key_text(key)) is None:
        raise InvalidTypeError(
            f"{what} is text, and {key!r:.100} is of type {type(key).__name__}: pass str(...) of it."
        )
    return name


def _row(parts: tuple[str, ...], value: object) -> Param:
    key = check_name(".".join(parts), "param")
    path = json.dumps(parts) if any("." in part for part in parts) else None
    kind, kept = _typed(key, value)
    return Param(key, kept, kind, path)


def without_secrets(row: Param) -> Param:
    """The row with `***` for the secrets in it; the same one where there are none."""
    if row.type not in ("str", "json"):
        return row
    parts = row.parts()
    before = row.decode()
    after = _masked(parts[-1], before, is_below=any(holds_secrets(part) for part in parts[:-1]))
    if after == before:
        return row
    return replace(row, value=after if row.type == "str" else json.dumps(after, ensure_ascii=False))


def _masked(name: str, value: Any, *, is_below: bool) -> Any:
    """A value of JSON, where the texts that are secrets by this name or by their form are `***`."""
    if isinstance(value, str):
        return HIDDEN if value and is_below else hidden_value(name, value)
    if isinstance(value, list):
        return [_masked(name, item, is_below=is_below) for item in value]
    if isinstance(value, dict):
        is_below = is_below or holds_secrets(name)
        return {key: _masked(key, item, is_below=is_below) for key, item in value.items()}
    return value


def _typed(key: str, value: Any) -> tuple[str, int | float | str | None]:
    value = plain(value, "param", key)
    match value:
        case None:
            return "null", None
        case bool():
            return "bool", int(value)
        case int():
            return "int", value if -(1 << 63) <= value < 1 << 63 else str(_checked_int(key, value))
        case float():
            # SQLite has neither NaN nor -0.0: one is NULL, the other an integer, which no other float is.
            is_negative_zero = value == 0 and math.copysign(1, value) < 0
            return "float", 0 if is_negative_zero else None if math.isnan(value) else value
        case str():
            return "str", _text(key, value)
        case list() | Mapping():
            return "json", _text(key, json.dumps(_json(key, value, 0), ensure_ascii=False))
    raise InvalidTypeError(f"The param {key!r} is of type {type(value).__name__}: {advice(value)}.")


def _json(key: str, value: Any, depth: int) -> Any:
    if depth > MAX_DEPTH:
        message = (
            f"The param {key!r} is nested more than {MAX_DEPTH} deep, or contains itself: keep a part, or its text."
        )
        raise InvalidValueError(message)
    value = plain(value, "param", key)
    if isinstance(value, int):
        return _checked_int(key, value)
    if value is None or isinstance(value, (float, str)):
        return value
    if isinstance(value, list):
        return [_json(key, item, depth + 1) for item in value]
    if isinstance(value, Mapping):
        pairs = [
            (_key(name, f"A name in the param {key!r}"), item) for name, item in entries(value, "param", f"{key}.")
        ]
        if len({name for name, _ in pairs}) < len(pairs):
            raise InvalidValueError(f"The param {key!r} holds a mapping with two names that read the same: rename one.")
        return {name: _json(key, item, depth + 1) for name, item in pairs}
    raise InvalidTypeError(f"The param {key!r} holds a value of type {type(value).__name__}: {advice(value)}.")


def _checked_int(key: str, value: int) -> int:
    if value.bit_length() > MAX_INT_BITS:
        raise InvalidValueError(f"The param {key!r} is an integer of thousands of digits: keep it with log_text.")
    return value


def _text(key: str, value: str) -> str:
    try:
        value.encode()
    except UnicodeEncodeError as error:
        message = f"The param {key!r} is not valid Unicode text ({error.reason}): {REPAIR}."
        raise InvalidValueError(message) from error
    if "\0" in value:
        raise InvalidValueError(f"The param {key!r} has a NUL character: remove it, or log the bytes as an artifact.")
    if len(value) > MAX_TEXT_CHARS:
        message = f"The param {key!r} has {len(value):,} characters, {MAX_TEXT_CHARS:,} are allowed: use log_text."
        raise InvalidValueError(message)
    return value
