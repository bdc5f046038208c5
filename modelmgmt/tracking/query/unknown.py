"""What a filter or an order names and no run has: a typo should be told from a question whose answer is no."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence

from modelmgmt.store.names import near

from .language import parse
from .order import fields_of_order
from .tree import And, Compare, Field, Node, Not, Or

_SHOWN = 8


def unknown_fields(connection: sqlite3.Connection, text: str, order: str | Sequence[str] | None = None) -> list[str]:
    """A sentence for each param, metric or tag of the filter and the order that no run has, with names that are like it."""
    fields = dict.fromkeys([*_fields(parse(text)), *fields_of_order(order)])
    return [
        _sentence(connection, field) for field in fields if field.table != "run" and not _is_there(connection, field)
    ]


def _is_there(connection: sqlite3.Connection, field: Field) -> bool:
    row = connection.execute(f"SELECT 1 FROM {field.table} WHERE key = ? LIMIT 1", (field.key,))
    return row.fetchone() is not None


def _sentence(connection: sqlite3.Connection, field: Field) -> str:
    there = [key for (key,) in connection.execute(f"SELECT DISTINCT key FROM {field.table} ORDER BY key")]
    names = near(field.key, there, _SHOWN) or there[:_SHOWN]
    known = f"there are {', '.join(names)}" if names else "there are none"
    return f"No run has {field.table}.{field.key}: {known}."


def _fields(node: Node) -> Iterator[Field]:
    match node:
        case Not():
            yield from _fields(node.node)
        case And() | Or():
            for part in node.nodes:
                yield from _fields(part)
        case Compare():
            yield from (side for side in (node.left, node.right) if isinstance(side, Field))
        case _:
            yield node.field
