"""What a filter names and no run has: a typo finds nothing, and should be told from a question whose answer is no."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from difflib import get_close_matches

from .language import parse
from .tree import And, Compare, Field, Node, Not, Or

_SHOWN = 8


def unknown_fields(connection: sqlite3.Connection, text: str) -> list[str]:
    """A sentence for each param, metric or tag of the filter that no run has, with names that are like it."""
    sentences = []
    for field in dict.fromkeys(_fields(parse(text))):
        if field.table == "run":
            continue
        there = [key for (key,) in connection.execute(f"SELECT DISTINCT key FROM {field.table} ORDER BY key")]
        if field.key not in there:
            names = get_close_matches(field.key, there, _SHOWN, 0.5) or there[:_SHOWN]
            known = f"there are {', '.join(names)}" if names else "there are none"
            sentences.append(f"No run has {field.table}.{field.key}: {known}.")
    return sentences


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
