"""The rows of steps. Alone writes the table `steps`."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any

from modelmgmt.errors import printable
from modelmgmt.store.rows import from_json, row_crc, verified
from modelmgmt.store.secrets import hidden, hidden_in_text, names_secret
from modelmgmt.store.times import from_iso, now_iso

COLUMNS = (
    "run", "number", "name", "function", "parent", "code_fingerprint", "inputs", "parts", "cache_key", "status", "reason",
    "output", "output_fingerprint", "output_digest", "cached_run", "started_at", "updated_at", "duration_s",
)  # fmt: skip
_SHOWN = ("inputs", "parts", "output", "reason")
_EARLIER = 200  # calls among which the nearest is looked for
_SELECT = f"SELECT {', '.join(COLUMNS)}, crc FROM steps"
_PUT = f"INSERT OR REPLACE INTO steps ({', '.join(COLUMNS)}, crc) VALUES ({', '.join('?' * (len(COLUMNS) + 1))})"


@dataclass(frozen=True, slots=True)
class StepInput:
    """One argument of a call."""

    name: str
    fingerprint: str | None
    """SHA-256 of the value; None for one that has none, such as a connection."""
    shown: str
    """The value in a few characters, or what it is."""
    steps: tuple[int, ...] = ()
    """The numbers of the steps, in the same run, that it came from."""
    kind: str = ""
    """`scalar` for a number or text, `file` or `folder` for a path, else nothing."""
    is_ignored: bool = False
    """Whether the result does not depend on it, as `ignore` says."""


_INPUT = {
    "name": str,
    "fingerprint": (str, None),
    "shown": str,
    "steps": [int],
    "kind": str,
    "is_ignored": bool,
}
_PARTS = ({"code": {str: [str, str]}, "inputs": {str: {str: str}}}, {str: ()})  # or nothing, of a call that had none


@dataclass(frozen=True, slots=True, repr=False)
class Step:
    """One call of a step: what went in, what came out, and whether the work was done."""

    run: str
    number: int
    """1, 2, 3, ... within the run, in the order in which the calls began."""
    name: str
    function: str
    """module:qualified name"""
    parent: int | None
    """The number of the step inside which this one was called."""
    code_fingerprint: str
    inputs: tuple[StepInput, ...]
    parts: Mapping[str, Any]
    """Of a step with `cache=True` that ran: what its code and its inputs are made of, to tell later what has changed."""
    cache_key: str | None
    """SHA-256 of code and inputs; None when an input has no fingerprint."""
    status: str
    """running, ran, cached or failed."""
    reason: str
    """Why it ran, or why it did not have to."""
    output: str | None
    """What came out, in a few characters."""
    output_fingerprint: str | None
    output_digest: str | None
    """The kept result: a tree."""
    cached_run: str | None
    """The id of the run whose result was taken."""
    started_at: datetime
    """Aware, in UTC."""
    updated_at: datetime
    """When the row was written last: at the end of a call that has ended."""
    duration_s: float | None

    def __str__(self) -> str:
        return printable(f"{self.number}. {self.name}: {self.status}: {self.reason}")

    def __repr__(self) -> str:
        return printable(f"<Step {self}>")


def insert(connection: sqlite3.Connection, values: dict[str, Any]) -> int:
    """A new row, with the next number of its run, which is returned."""
    (number,) = connection.execute(
        "SELECT coalesce(max(number), 0) + 1 FROM steps WHERE run = ?", (values["run"],)
    ).fetchone()
    put(connection, {**values, "number": number})
    return int(number)


def put(connection: sqlite3.Connection, values: dict[str, Any]) -> None:
    """A row whole, in the place of the one with its number."""
    whole = {**values, "updated_at": now_iso()}
    row = tuple(whole[name] for name in COLUMNS)
    connection.execute(_PUT, (*row, row_crc("steps", row)))


def encode_inputs(inputs: Sequence[StepInput]) -> str:
    """Inputs as JSON, as the column has them."""
    return json.dumps([asdict(given) for given in inputs])


def hide_secrets(connection: sqlite3.Connection, run: str) -> list[str]:
    """Write the steps of a run without secrets in what they show of inputs and outputs. Returns those that had some."""
    found = []
    for row in connection.execute(f"{_SELECT} WHERE run = ? ORDER BY number", (run,)).fetchall():
        values, step = dict(zip(COLUMNS, row, strict=False)), from_row(row)
        inputs = [
            replace(given, shown="hidden" if names_secret(given.name) else hidden(given.shown)) for given in step.inputs
        ]
        kept = {**values, "inputs": encode_inputs(inputs), "parts": json.dumps(_masked(step.parts))}
        kept |= {name: None if values[name] is None else hidden_in_text(values[name]) for name in ("output", "reason")}
        if [kept[name] for name in _SHOWN] != [values[name] for name in _SHOWN]:
            put(connection, kept)
            found.append(f"{step.number}. {step.name}")
    return found


def _masked(value: Any) -> Any:
    if isinstance(value, str):
        return hidden(value)
    if isinstance(value, list):
        return [_masked(item) for item in value]
    return {key: _masked(item) for key, item in value.items()}


def read(connection: sqlite3.Connection, run: str) -> tuple[Step, ...]:
    """The steps of a run, by number. Raises CorruptDataError."""
    rows = connection.execute(f"{_SELECT} WHERE run = ? ORDER BY number", (run,)).fetchall()
    return tuple(from_row(row) for row in rows)


def with_result(connection: sqlite3.Connection, cache_key: str) -> list[Step]:
    """The newest step of that code and those inputs whose result is kept."""
    rows = connection.execute(
        f"{_SELECT} WHERE cache_key = ? AND output_digest IS NOT NULL ORDER BY started_at DESC LIMIT 1", (cache_key,)
    )
    return [from_row(row) for row in rows.fetchall()]


def made(connection: sqlite3.Connection, cache_key: str) -> Step | None:
    """The newest step that did the work itself and whose result is kept; a step that took a result says not how old it is."""
    sql = f"{_SELECT} WHERE cache_key = ? AND output_digest IS NOT NULL AND status = 'ran' ORDER BY started_at DESC LIMIT 1"
    row = connection.execute(sql, (cache_key,)).fetchone()
    return from_row(row) if row else None


def earlier(connection: sqlite3.Connection, function: str) -> list[Step]:
    """The last calls of a function that came to an end well, in any run, the newest first."""
    sql = f"{_SELECT} WHERE function = ? AND status IN ('ran', 'cached') ORDER BY started_at DESC LIMIT {_EARLIER}"
    return [from_row(row) for row in connection.execute(sql, (function,)).fetchall()]


def find(connection: sqlite3.Connection, run: str, number: int) -> Step | None:
    """One step of a run."""
    row = connection.execute(f"{_SELECT} WHERE run = ? AND number = ?", (run, number)).fetchone()
    return from_row(row) if row else None


def with_parts(connection: sqlite3.Connection, step: Step) -> Step:
    """The call that did the work of a step, or another of the same code and inputs, whose parts are known."""
    sql = f"{_SELECT} WHERE cache_key = ? AND parts != '{{}}' ORDER BY started_at DESC LIMIT 1"
    row = None if step.parts else connection.execute(sql, (step.cache_key,)).fetchone()
    return from_row(row) if row else step


def from_row(row: Sequence[Any]) -> Step:
    """The step of a row. Raises CorruptDataError."""
    values = dict(zip(COLUMNS, verified("steps", row), strict=True))
    found = from_json("steps.inputs", values["inputs"], [_INPUT])
    inputs = tuple(StepInput(**{**given, "steps": tuple(given["steps"])}) for given in found)
    times = {name: from_iso(values[name]) for name in ("started_at", "updated_at")}
    parts = from_json("steps.parts", values["parts"], _PARTS)
    return Step(**{**values, **times, "inputs": inputs, "parts": parts})
