"""What a filter or an order names and no run has: a typo should be told from a question whose answer is no."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from itertools import chain

from modelmgmt.store.names import among, near, shown

from .language import parse
from .order import fields_of_order
from .tree import And, Compare, Comparison, Field, In, Node, Not, Or, Value

_SHOWN = 8


def unknown_fields(connection: sqlite3.Connection, text: str, order: str | Sequence[str] | None = None) -> list[str]:
    """A sentence for each param, metric, tag or experiment of the filter, and each field of the order, that no run has.

    It names those that are like it.
    """
    tests = list(_tests(parse(text)))
    fields = dict.fromkeys([*chain.from_iterable(map(_fields, tests)), *fields_of_order(order)])
    names = dict.fromkeys(chain.from_iterable(map(_experiments, tests)))
    return [
        *(
            _sentence(connection, field)
            for field in fields
            if field.table != "run" and not _is_there(connection, field)
        ),
        *(sentence for name in names for sentence in _no_experiment(connection, name)),
    ]


def _is_there(connection: sqlite3.Connection, field: Field) -> bool:
    row = connection.execute(f"SELECT 1 FROM {field.table} WHERE key = ? LIMIT 1", (field.key,))
    return row.fetchone() is not None


def _sentence(connection: sqlite3.Connection, field: Field) -> str:
    there = [key for (key,) in connection.execute(f"SELECT DISTINCT key FROM {field.table} ORDER BY key")]
    names = near(field.key, there, _SHOWN) or there[:_SHOWN]
    known = f"there are {', '.join(names)}" if names else "there are none"
    return f"No run has {field.table}.{field.key}: {known}."


def _no_experiment(connection: sqlite3.Connection, name: str) -> Iterator[str]:
    there = [found for (found,) in connection.execute("SELECT DISTINCT experiment FROM runs ORDER BY 1")]
    if name not in there:
        yield f"No run has the experiment {shown(name)}; there are: {among(name, there, _SHOWN)}"


def _tests(node: Node) -> Iterator[Comparison]:
    match node:
        case Not():
            yield from _tests(node.node)
        case And() | Or():
            for part in node.nodes:
                yield from _tests(part)
        case _:
            yield node


def _fields(test: Comparison) -> list[Field]:
    sides = (test.left, test.right) if isinstance(test, Compare) else (test.field,)
    return [side for side in sides if isinstance(side, Field)]


def _experiments(test: Comparison) -> list[str]:
    """The names of experiments that it asks for."""
    match test:
        case Compare(Field("run", "experiment"), "=", Value(str(name))):
            return [name]
        case In(Field("run", "experiment"), values):
            return [str(value.value) for value in values]
    return []
