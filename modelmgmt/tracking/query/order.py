"""From `order_by` to the terms after ORDER BY, with every key bound.

    order_by="-metrics.acc"                          the greatest first
    order_by=["run.experiment", "-metrics.acc.max"]  the second decides where the first is equal

A missing field and NaN come last in both directions. Numbers come before text; a list is sorted as its JSON text. What
is equal in every field is sorted newest first, as is everything when no order is asked for.
"""

from __future__ import annotations

from collections.abc import Sequence

from modelmgmt.errors import InvalidTypeError, QuerySyntaxError

from .language import check_text, parse_field
from .sql import Compiled, SqlValue, operand
from .tree import Field

MAX_FIELDS = 50
"""Fields in one order."""

_NEWEST_FIRST = "runs.started_at DESC, runs.id DESC"


def compile_order(order: str | Sequence[str] | None) -> Compiled:
    """The terms to write after ORDER BY in a query over `runs`.

    >>> compile_order(None)
    Compiled(sql='runs.started_at DESC, runs.id DESC', values=[])
    >>> compile_order("-metrics.acc").sql.removesuffix(compile_order(None).sql)
    '(SELECT l.last FROM metrics AS l WHERE l.run = runs.id AND l.key = ?) DESC NULLS LAST, '

    Raises InvalidTypeError for anything but a str, a sequence of str, or None; QuerySyntaxError, with the column within
    the entry, for an entry that is not an optional '-' or '+' and one field.
    """
    entries = _entries(order)
    if len(entries) > MAX_FIELDS:
        message = f"an order has at most {MAX_FIELDS} fields; this has {len(entries)}"
        raise QuerySyntaxError(message, text=entries[MAX_FIELDS][:200], column=1)
    terms = [_term(entry) for entry in entries]
    values = [value for _, bound in terms for value in bound]
    return Compiled(", ".join([*(sql for sql, _ in terms), _NEWEST_FIRST]), values)


def fields_of_order(order: str | Sequence[str] | None) -> list[Field]:
    """The fields that an order names. Raises as `compile_order` does."""
    return [_signed(entry)[1] for entry in _entries(order)]


def _entries(order: object) -> list[str]:
    if order is None:
        return []
    if isinstance(order, str):
        return [order]
    if not isinstance(order, Sequence) or isinstance(order, bytes | bytearray | memoryview):
        raise InvalidTypeError(f"order_by is a field as text, or a list of them, and {order!r} was given.")
    return list(order)


def _signed(entry: str) -> tuple[str, Field]:
    check_text(entry, "an entry of order_by")
    blank = len(entry) - len(entry.lstrip())
    sign = entry[blank : blank + 1]
    return sign, parse_field(entry, blank + 1 if sign in {"-", "+"} else blank)


def _term(entry: str) -> tuple[str, tuple[SqlValue, ...]]:
    sign, field = _signed(entry)
    side = operand(field, "l")
    value = side.number or side.text
    if side.number and side.text:
        value = f"coalesce({side.number}, {side.text})"
    if side.table:
        value = f"(SELECT {value} FROM {side.table} AS l WHERE l.run = runs.id AND l.key = ?)"
    direction = "DESC" if sign == "-" else "ASC"
    return f"{value} {direction} NULLS LAST", (side.key,) if side.table else ()
