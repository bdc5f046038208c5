"""What a filter or an order names and no run has: a typo should be told from a question whose answer is no.

A name of a param, metric or tag, and the text that a param, tag or attribute is to equal.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from itertools import chain

from modelmgmt.store.names import among, near, shown

from .language import parse, reads_as_number
from .order import fields_of_order
from .tree import And, Between, Compare, Comparison, Field, In, Node, Not, Or, Value

_SHOWN = 8
_SHORT = 80  # characters of a text that is worth to be shown among others
_NAMES = frozenset({"experiment", "name", "group", "user", "host"})


def unknown_fields(connection: sqlite3.Connection, text: str, order: str | Sequence[str] | None = None) -> list[str]:
    """A sentence for each param, metric, tag or text of the filter, and each field of the order, that no run has.

    It names those that are like it.
    """
    values = dict.fromkeys(chain.from_iterable(map(_values, _tests(parse(text)))))
    return [
        *(
            _sentence(connection, field)
            for field in fields_of(text, order)
            if field.table != "run" and not _is_there(connection, field)
        ),
        *(sentence for field, value, equal in values for sentence in _no_match(connection, field, value, equal=equal)),
    ]


def fields_of(text: str, order: str | Sequence[str] | None = None) -> list[Field]:
    """What a filter and an order name, each once, those of the filter first."""
    return list(dict.fromkeys([*chain.from_iterable(map(_fields, _tests(parse(text)))), *fields_of_order(order)]))


def _is_there(connection: sqlite3.Connection, field: Field) -> bool:
    row = connection.execute(f"SELECT 1 FROM {field.table} WHERE key = ? LIMIT 1", (field.key,))
    return row.fetchone() is not None


def _sentence(connection: sqlite3.Connection, field: Field) -> str:
    there = [key for (key,) in connection.execute(f"SELECT DISTINCT key FROM {field.table} ORDER BY key")]
    names = near(field.key, there, _SHOWN) or there[:_SHOWN]
    known = f"there are {', '.join(names)}" if names else "there are none"
    return f"No run has {field.table}.{field.key}: {known}."


def _no_match(connection: sqlite3.Connection, field: Field, value: Value, *, equal: bool) -> Iterator[str]:
    """At most one sentence: there is the field, but nowhere the text, or nowhere a number to compare with one."""
    if field.table == "run":
        column = "group_name" if field.key == "group" else field.key
        found = connection.execute(f"SELECT DISTINCT {column} FROM runs WHERE {column} IS NOT NULL ORDER BY 1")
    else:
        sql = f"SELECT DISTINCT value FROM {field.table} WHERE key = ? AND value IS NOT NULL ORDER BY 1"
        found = connection.execute(sql, (field.key,))
    there = [each for (each,) in found]
    texts = [each for each in there if isinstance(each, str)]
    short = [each for each in texts if len(each) <= _SHORT]
    name, asked = f"{field.table}.{field.key}", value.value
    if not there:
        return
    if isinstance(asked, bool) or not isinstance(asked, str):
        if len(texts) == len(there) and not isinstance(asked, bool) and all(reads_as_number(t) is None for t in texts):
            yield f"{name} is a number in no run, so that none compares with {asked!r}; there are: {among('', short, _SHOWN)}"
    elif not texts and reads_as_number(asked) is None and asked.lower() not in {"true", "false"}:
        yield f"{name} is text in no run, so that none compares with {shown(asked)}."
    elif equal and texts and asked not in texts and (len(texts) == len(there) or reads_as_number(asked) is None):
        what = f"the experiment {shown(asked)}" if name == "run.experiment" else f"{name} = {shown(asked)}"
        yield f"No run has {what}; there are: {among(asked, short, _SHOWN)}"


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


def _values(test: Comparison) -> list[tuple[Field, Value, bool]]:
    """The values that a field is compared with, each with whether for equality, where few are to be expected of it."""
    match test:
        case Compare(Field() as field, operator, Value() as value) | Compare(
            Value() as value, operator, Field() as field
        ):
            found = [(field, value, operator == "=")] if operator != "!=" else []
        case In(Field() as field, values, False):
            found = [(field, value, True) for value in values]
        case Between(Field() as field, low, high, False):
            found = [(field, low, False), (field, high, False)]
        case _:
            return []
    is_asked = field.table in {"params", "tags"} or (field.table == "run" and field.key in _NAMES)
    return found if is_asked else []
