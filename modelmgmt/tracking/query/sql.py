"""From a syntax tree to one SQL expression about the table `runs`, with every key and literal bound.

Each comparison becomes `[NOT] EXISTS (...)` over the rows it names, or a test of columns of `runs` that is never NULL:
so each is 0 or 1, and `not` can be moved down to the comparisons, which leaves SQLite only AND and OR to nest.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from modelmgmt.errors import QuerySyntaxError

from .language import parse, reads_as_number
from .tree import RUN_NUMBERS, And, Between, Compare, Comparison, Field, In, Is, Like, Node, Not, Or, Value

MAX_VALUES = 30_000
"""Bound values in a filter: SQLite takes 32,766, and the caller may add its own."""
MAX_SQL = 900_000
"""Characters of SQL: SQLite takes 1,000,000, and the caller adds its own."""
MAX_STACK = 45
"""What AND and OR may take of the 100 entries of SQLite's parser stack; a comparison takes some 30."""

SqlValue = int | float | str


@dataclass(frozen=True)
class Compiled:
    """A piece of SQL about `runs`, and the values for its question marks, in order."""

    sql: str
    values: list[SqlValue]


@dataclass(frozen=True, slots=True)
class Operand:
    """One side of a comparison: SQL for each thing it may be, None where it never is that thing.

    `number` and `text` are NULL when the row holds something else; `ranked` is text that has an order (JSON has none).
    `read` is the number, or else the number that the text reads as. `present` is None when the row's existence says it
    all. `table` and `key` name the row, unless it is the run itself.
    """

    number: str | None = None
    read: str | None = None
    text: str | None = None
    ranked: str | None = None
    nan: str = "0"
    present: str | None = None
    table: str = ""
    key: str = ""
    values: tuple[SqlValue, ...] = ()
    """What is bound where a literal's number or text stands; its text where it is both."""
    read_values: tuple[SqlValue, ...] = ()
    word: str = ""
    """Of the literals true and false: the text, in either case, that is them."""


@dataclass(frozen=True, slots=True)
class _Part:
    """A piece of the result; `joint` is how it is joined at its top, `stack` what SQLite's parser needs for it."""

    sql: str
    values: tuple[SqlValue, ...]
    joint: Literal["", "AND", "OR"] = ""
    stack: int = 0


_SECONDS = "strftime('%s', substr({0}, 1, 19))"
_MICROSECONDS = "substr({0}, 21, 6)"
# Integers up to the one division: exact to the microsecond, where julianday() is good to the millisecond.
_DURATION = "(({} - {}) * 1000000 + {} - {}) / 1000000.0".format(
    _SECONDS.format("runs.ended_at"),
    _SECONDS.format("runs.started_at"),
    _MICROSECONDS.format("runs.ended_at"),
    _MICROSECONDS.format("runs.started_at"),
)
# SQLite need not stop at the first half of an AND, and json_type raises for what is no JSON.
_READ = "CASE WHEN json_valid({0}) THEN CASE WHEN json_type({0}) IN ('integer', 'real') THEN {0} + 0 END END"
_RUN_NULLABLE = {"ended_at", "duration_s", "parent", "group", "user", "error"}


def compile_filter(text: str) -> Compiled:
    """The SQL expression, 0 or 1 for each row of `runs`, that is true where the filter matches.

    >>> compile_filter("metrics.acc > 0.9")
    Compiled(sql='EXISTS (SELECT 1 FROM metrics AS l WHERE l.run = runs.id AND l.key = ? AND (l.last > ?))',
             values=['acc', 0.9])

    Raises InvalidTypeError unless `text` is a str, and QuerySyntaxError, with the column, if it cannot be read or is
    more than SQLite can take.
    """
    part = _render(parse(text), negate=False)
    if len(part.values) > MAX_VALUES:
        message = f"the filter has {len(part.values):,} keys and values; at most {MAX_VALUES:,} fit in one query"
        raise QuerySyntaxError(message, text=_clipped(text), column=1)
    if len(part.sql) > MAX_SQL or part.stack > MAX_STACK:
        message = "the filter has too many comparisons for one query"
        raise QuerySyntaxError(message, text=_clipped(text), column=1)
    return Compiled(part.sql, list(part.values))


def operand(side: Field | Value, alias: str) -> Operand:
    """What `side` is in SQL, where the row that it lives in is called `alias`."""
    if isinstance(side, Value):
        return _literal(side.value)
    if side.table == "run":
        return _run_column(side.key)
    if side.table == "tags":
        column = f"{alias}.value"
        return Operand(read=_READ.format(column), text=column, ranked=column, table="tags", key=side.key)
    if side.table == "metrics":
        column = f"{alias}.{side.part}"
        return Operand(number=column, read=column, nan=f"{column} IS NULL", table="metrics", key=side.key)
    kind, value = f"{alias}.type", f"{alias}.value"
    return Operand(
        # Adding 0 turns the digits of an int beyond 64 bits into the nearest float, and changes no other number.
        number=f"CASE WHEN {kind} = 'str' OR {kind} = 'json' THEN NULL ELSE {value} + 0 END",
        read=f"CASE {kind} WHEN 'json' THEN NULL WHEN 'str' THEN {_READ.format(value)} ELSE {value} + 0 END",
        text=f"CASE WHEN {kind} = 'str' OR {kind} = 'json' THEN {value} END",
        ranked=f"CASE WHEN {kind} = 'str' THEN {value} END",
        nan=f"{kind} = 'float' AND {value} IS NULL",
        present=f"{kind} <> 'null'",
        table="params",
        key=side.key,
    )


def _literal(value: SqlValue) -> Operand:
    if isinstance(value, str):
        number = {"true": 1, "false": 0}.get(value.lower(), reads_as_number(value))
        read = _literal(number) if number is not None else Operand()
        return Operand(read=read.number, text="?", ranked="?", values=(value,), read_values=read.values)
    if isinstance(value, float) and math.isnan(value):
        return Operand(nan="1")
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        # As text, so that SQLite makes the same float of it as of a stored int of this size.
        return Operand(number="? + 0", read="? + 0", values=(str(value),), read_values=(str(value),))
    word = str(value).lower() if isinstance(value, bool) else ""
    return Operand(number="?", read="?", values=(value,), read_values=(value,), word=word)


def _run_column(name: str) -> Operand:
    column = {"duration_s": _DURATION, "group": "runs.group_name"}.get(name, f"runs.{name}")
    present = f"{column} IS NOT NULL" if name in _RUN_NULLABLE else None
    if name in RUN_NUMBERS:
        return Operand(number=column, read=column, present=present)
    return Operand(read=_READ.format(column), text=column, ranked=column, present=present)


def _render(node: Node, *, negate: bool) -> _Part:
    while isinstance(node, Not):
        node, negate = node.node, not negate
    if not isinstance(node, And | Or):
        return _comparison(node, negate=negate)
    joint = _joint(node, negate=negate)
    parts = [_render(child, negate=negated) for child, negated in _children(node, negate, joint)]
    if not parts:
        return _Part("0" if negate else "1", ())
    # The deepest goes first: what stands to its right is not yet on the parser's stack.
    parts.sort(key=lambda part: -part.stack)
    return _balanced(parts, joint)


def _joint(node: And | Or, *, negate: bool) -> Literal["AND", "OR"]:
    return "AND" if isinstance(node, And) is not negate else "OR"


def _children(node: Node, negate: bool, joint: str) -> Iterator[tuple[Node, bool]]:
    """The operands of a whole tree of one connective, each with whether it is negated."""
    while isinstance(node, Not):
        node, negate = node.node, not negate
    if isinstance(node, And | Or) and _joint(node, negate=negate) == joint:
        for child in node.nodes:
            yield from _children(child, negate, joint)
    else:
        yield node, negate


def _balanced(parts: Sequence[_Part], joint: Literal["AND", "OR"]) -> _Part:
    """The parts joined as a tree: SQLite refuses expressions deeper than 1,000, and a plain chain is one."""
    # The first, which may be deep, is kept out of the tree, whose every level costs stack.
    first, rest = parts[0], parts[1:]
    return _joined(first, _tree(rest, joint), joint) if rest else first


def _tree(parts: Sequence[_Part], joint: Literal["AND", "OR"]) -> _Part:
    if len(parts) == 1:
        return parts[0]
    middle = (len(parts) + 1) // 2
    return _joined(_tree(parts[:middle], joint), _tree(parts[middle:], joint), joint)


def _joined(left: _Part, right: _Part, joint: Literal["AND", "OR"]) -> _Part:
    left_mark = joint == "AND" and left.joint == "OR"
    right_mark = right.joint == joint or (joint == "AND" and right.joint == "OR")
    sql = f"{f'({left.sql})' if left_mark else left.sql} {joint} {f'({right.sql})' if right_mark else right.sql}"
    stack = max(left.stack + left_mark, right.stack + right_mark + 2)
    return _Part(sql, left.values + right.values, joint, stack)


def _comparison(node: Comparison, *, negate: bool) -> _Part:
    left = operand(node.left if isinstance(node, Compare) else node.field, "l")
    right = operand(node.right, "r") if isinstance(node, Compare) else Operand()
    if isinstance(node, Is) and node.what == "null":
        test, values = left.present or "1", left.values
        negate = negate is node.negated
    else:
        test, values = _test(node, left, right)
    if left.table or right.table:
        return _exists((left, right), test, values, negate=negate)
    if left.present or right.present or "CASE" in test:  # where the test may be NULL
        return _Part(f"({test}) IS {'NOT ' if negate else ''}TRUE", values)
    # Bare, so that an index on the column can serve.
    return _Part(f"{'NOT ' if negate else ''}({test})", values)


def _exists(sides: tuple[Operand, Operand], test: str, values: tuple[SqlValue, ...], *, negate: bool) -> _Part:
    rows = [(side, alias) for side, alias in zip(sides, "lr", strict=True) if side.table]
    tables = ", ".join(f"{side.table} AS {alias}" for side, alias in rows)
    found = " AND ".join(f"{alias}.run = runs.id AND {alias}.key = ?" for _, alias in rows)
    sql = f"{'NOT ' if negate else ''}EXISTS (SELECT 1 FROM {tables} WHERE {found} AND ({test}))"
    return _Part(sql, (*(side.key for side, _ in rows), *values))


def _test(node: Comparison, left: Operand, right: Operand) -> tuple[str, tuple[SqlValue, ...]]:
    """True, false or NULL for the rows of a comparison; NULL counts as false."""
    test, values = _positive(node, left, right)
    if not (node.operator == "!=" if isinstance(node, Compare) else node.negated):
        return test, values
    present = [side.present for side in (left, right) if side.present]
    return " AND ".join([*present, f"({test}) IS NOT TRUE"]), values


def _positive(node: Comparison, left: Operand, right: Operand) -> tuple[str, tuple[SqlValue, ...]]:
    if isinstance(node, Compare):
        return _compared(left, "=" if node.operator == "!=" else node.operator, right)
    if isinstance(node, Like):
        return (f"{left.text} LIKE ?", (node.pattern,)) if left.text else ("0", ())
    if isinstance(node, Between):
        above, low = _compared(left, ">=", _literal(node.low.value))
        below, high = _compared(left, "<=", _literal(node.high.value))
        return f"({above}) AND ({below})", (*low, *high)
    return _among(left, node.values) if isinstance(node, In) else (left.nan, ())


def _compared(left: Operand, operator: str, right: Operand) -> tuple[str, tuple[SqlValue, ...]]:
    texts = (left.text, right.text) if operator == "=" else (left.ranked, right.ranked)
    pairs = [(*texts, left.values, right.values)]
    # A text is compared with a number as the number that it reads as: SQLite would call any text greater. What is always
    # a number, such as a metric, needs one of the two tests only.
    if right.number != right.read or left.number == left.read:
        pairs.append((left.number, right.read, left.values, right.read_values))
    if left.number != left.read:
        pairs.append((left.read, right.number, left.read_values, right.values))
    if operator == "=":
        pairs += [
            (f"lower({one.text})", "?", (), (other.word,))
            for one, other in ((left, right), (right, left))
            if one.text and other.word
        ]
    found = [(f"{one} {operator} {other}", (*first, *second)) for one, other, first, second in pairs if one and other]
    return " OR ".join(test for test, _ in found) or "0", tuple(value for _, values in found for value in values)


def _among(left: Operand, choices: Sequence[Value]) -> tuple[str, tuple[SqlValue, ...]]:
    literals = [_literal(choice.value) for choice in choices]
    lists = (
        (left.read, [(one.number, one.values) for one in literals if one.number]),
        (left.number, [(one.read, one.read_values) for one in literals if one.read and not one.number]),
        (left.text, [(one.text, one.values) for one in literals if one.text]),
        (left.text and f"lower({left.text})", [("?", (one.word,)) for one in literals if one.word]),
    )
    found = [(side, listed) for side, listed in lists if side and listed]
    tests = [f"{side} IN ({', '.join(sql or '' for sql, _ in listed)})" for side, listed in found]
    return " OR ".join(tests) or "0", tuple(value for _, listed in found for _, values in listed for value in values)


def _clipped(text: str) -> str:
    return text if len(text) <= 200 else text[:197] + "..."
