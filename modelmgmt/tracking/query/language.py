"""The filter language, and the parser from its text to a syntax tree.

    filter      [or]                                     an empty filter matches every run
    or          and ('or' and)*
    and         term ('and' term)*
    term        'not' term | '(' or ')' | comparison
    comparison  operand OP operand                       one side at least is a field
              | field ['not'] 'in' '(' value (',' value)* ')'
              | field ['not'] 'like' text
              | field ['not'] 'between' value 'and' value
              | field 'is' ['not'] ('null' | 'none' | 'nan')
    operand     field | value
    value       number | inf | infinity | nan | 'text' | "text" | true | false

Keywords are case-insensitive; names of fields are not. A comparison that could never be true, because one side is always
a number and the other a text that is none, or because the text is no status or no time, is refused like a typo.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Callable
from datetime import datetime
from typing import NoReturn

from modelmgmt.errors import InvalidTypeError, QuerySyntaxError

from .tokens import MAX_DIGITS, Kind, Token, path_parts, tokens
from .tree import (
    METRIC_PARTS,
    RUN_ATTRIBUTES,
    RUN_NUMBERS,
    RUN_TIMES,
    STATUSES,
    And,
    Between,
    Compare,
    Field,
    In,
    Is,
    Like,
    Node,
    Not,
    Operator,
    Or,
    Table,
    Value,
)

MAX_LENGTH = 500_000
"""Characters in a filter."""
MAX_DEPTH = 64
"""Open parentheses and `not` around one comparison."""
MAX_PATTERN = 10_000
"""Bytes, in UTF-8, of a pattern after `like`; SQLite itself stops at 50,000."""

_TABLES: dict[str, Table] = {"params": "params", "metrics": "metrics", "tags": "tags", "run": "run"}
_OPERATORS: dict[str, Operator] = {
    "=": "=",
    "==": "=",
    "!=": "!=",
    "<>": "!=",
    "<": "<",
    "<=": "<=",
    ">": ">",
    ">=": ">=",
}
_WORD_VALUES = {"true": True, "false": False, "nan": float("nan"), "inf": float("inf"), "infinity": float("inf")}
_NULLS = frozenset({"null", "none"})
_MEANT = {
    "param": "params",
    "parameter": "params",
    "parameters": "params",
    "attribute": "run",
    "attributes": "run",
    "attr": "run",
    "runs": "run",
}
"""What other tools call the tables."""
_INSTEAD = {
    "contains": "like '%text%'",
    "startswith": "like 'text%'",
    "endswith": "like '%text'",
    "ilike": "like, which takes the letters a-z in either case",
    "rlike": "like 'text%'",
    "regexp": "like 'text%'",
    "matches": "like 'text%'",
    "glob": "like 'text%'",
    "exists": "is not null",
    "isnull": "is null",
    "isnan": "is nan",
    "eq": "=",
    "ne": "!=",
    "lt": "<",
    "le": "<=",
    "gt": ">",
    "ge": ">=",
}
"""What other languages call a comparison."""
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_TIME = re.compile(r"\d{4}(?:-\d\d(?:-\d\d(?:[T ]\d\d(?::\d\d(?::\d\d(?:\.\d{1,6})?)?)?)?)?)?")
_KEYWORDS = frozenset({"and", "or", "not", "in", "is", "like", "between"})


def parse(text: str) -> Node:
    """The syntax tree of a filter.

    >>> parse("params.lr < 0.01")
    Compare(left=Field(table='params', key='lr', part=''), operator='<', right=Value(value=0.01))
    >>> parse("  ")
    And(nodes=())

    Raises InvalidTypeError unless `text` is a str, and QuerySyntaxError, with the column, if it cannot be read.
    """
    check_text(text, "a filter")
    return _Parser(text).filter()


def parse_field(text: str, start: int = 0) -> Field:
    """The one field that `text` holds from offset `start`.

    >>> parse_field("metrics.val/loss.min")
    Field(table='metrics', key='val/loss', part='min')

    Raises as `parse` does.
    """
    check_text(text, "a field")
    return _Parser(text, start).only_field()


def check_text(text: object, what: str) -> None:
    """Raise InvalidTypeError unless `text` is a str, and QuerySyntaxError if it is one that SQLite cannot take."""
    if not isinstance(text, str):
        raise InvalidTypeError(f"{what} is text, and {text!r} of type {type(text).__name__} was given.")
    if len(text) > MAX_LENGTH:
        message = f"{what} has at most {MAX_LENGTH:,} characters; this has {len(text):,}"
        raise QuerySyntaxError(message, text=text[:60] + "...", column=1)
    try:
        text.encode()
    except UnicodeEncodeError as error:
        message = "a lone surrogate is not a character"
        raise QuerySyntaxError(message, text=text, column=error.start + 1) from None
    if "\0" in text:
        raise QuerySyntaxError("unexpected NUL character", text=text, column=text.index("\0") + 1)


class _Parser:
    """Recursive descent with one token of look-ahead; three frames for each open parenthesis."""

    def __init__(self, text: str, start: int = 0) -> None:
        self._text = text
        self._tokens = tokens(text, start)
        self._token = next(self._tokens)
        self._depth = 0

    def filter(self) -> Node:
        if self._at("end"):
            return And(())
        node = self._or()
        if self._at(")"):
            self._fail("a ')' without its '('")
        if not self._at("end"):
            self._fail(f"expected 'and' or 'or' before {self._token.shown()}")
        return node

    def only_field(self) -> Field:
        if not (self._at("word") or self._at("path")):
            self._fail("expected a field, such as metrics.acc or run.name")
        field = self._field(self._next())
        if not self._at("end"):
            quotes = f', but for quotes around a name with spaces, as in {field.table}."a b"'
            hint = {",": "; give several fields as a list", "word": quotes}
            if self._token.lower in {"asc", "desc"}:
                hint["word"] = "; a leading '-' means descending"
            self._fail(f"expected nothing after the field{hint.get(self._token.kind, '')}")
        return field

    def _or(self) -> Node:
        nodes = [self._and()]
        while self._took("or"):
            nodes.append(self._and())
        return nodes[0] if len(nodes) == 1 else Or(tuple(nodes))

    def _and(self) -> Node:
        nodes = [self._term()]
        while self._took("and"):
            nodes.append(self._term())
        return nodes[0] if len(nodes) == 1 else And(tuple(nodes))

    def _term(self) -> Node:
        opening = self._token
        if opening.lower != "not" and opening.kind != "(":
            return self._comparison()
        self._depth += 1
        if self._depth > MAX_DEPTH:
            self._fail(f"parentheses and 'not' are nested deeper than {MAX_DEPTH}")
        self._next()
        node = Not(self._term()) if opening.lower == "not" else self._closed(opening)
        self._depth -= 1
        return node

    def _closed(self, opening: Token) -> Node:
        node = self._or()
        if self._at("end"):
            self._fail("a '(' is not closed", opening)
        if not self._at(")"):
            self._fail(f"expected 'and', 'or' or ')' before {self._token.shown()}")
        self._next()
        return node

    def _comparison(self) -> Node:
        first = self._token
        left = self._operand("expected a field, such as params.lr or metrics.acc", first=True)
        if self._at("operator"):
            return self._compare(left, first)
        if isinstance(left, Value):
            self._fail(f"expected a comparison, such as '<', after {first.shown()}")
        return self._test(left, first)

    def _compare(self, left: Field | Value, first: Token) -> Node:
        written = self._next()
        operator = _OPERATORS[written.text]
        if self._token.lower in _NULLS:
            instead = {"=": "'is null'", "!=": "'is not null'"}.get(operator, "'is null' or a value")
            self._fail(f"nothing is {written.text} null: write {instead}")
        second = self._token
        right = self._operand(f"expected a value after '{written.text}'")
        match left, right:
            case Value(), Value():
                self._fail("a comparison needs a field, such as params.lr, on one side", first)
            case Field(), Value():
                right = self._fitting(left, right, second, whole=operator in {"=", "!="})
            case Value(), Field():
                left = self._fitting(right, left, first, whole=operator in {"=", "!="})
        return Compare(left, operator, right)

    def _fitting(self, field: Field, value: Value, token: Token, *, whole: bool) -> Value:
        """The value as the field holds it; `whole` says that a part of a time would never match."""
        name, text = f"{field.table}.{field.key}", value.value
        if _is_number(field):
            if isinstance(text, str) and reads_as_number(text) is None:
                nan = "; write 'is nan'" if text.lower() == "nan" else ""
                self._fail(f"{name} is a number, and {token.shown()} is text{nan}", token)
        elif field == Field("run", "status"):
            if str(text).lower() not in STATUSES:
                near = difflib.get_close_matches(str(text).lower(), STATUSES, n=1, cutoff=0.75)
                hint = f"did you mean '{near[0]}'? They" if near else "they"
                self._fail(f"no status of a run is {token.shown()}; {hint} are {', '.join(STATUSES)}", token)
            return Value(str(text).lower())
        elif field.table == "run" and field.key in RUN_TIMES:
            if not isinstance(text, str) or not _TIME.fullmatch(text.removesuffix("Z")):
                self._fail(f"{name} is a UTC time as text: write it as '2026-01-31' or '2026-01-31T23:59:59'", token)
            try:
                datetime.fromisoformat(text.removesuffix("Z") + "0001-01-01T00"[len(text.removesuffix("Z")) :])
            except ValueError as error:
                self._fail(f"there is no time {token.shown()} ({error})", token)
            if whole and len(text) < len("2026-01-31T23:59:59.123456Z"):
                self._fail(f"no run has {name} equal to a part of a time: write like '{text}%'", token)
            return Value(text.replace(" ", "T"))
        return value

    def _test(self, field: Field, first: Token) -> Node:
        if self._took("is"):
            return self._is(field)
        negated = self._took("not")
        readers: dict[str, Callable[[Field, bool], Node]] = {
            "in": self._in,
            "like": self._like,
            "between": self._between,
        }
        reader = readers.get(self._token.lower)
        if reader is None and self._token.lower in _INSTEAD:
            self._fail(f"'{self._token.text}' is no comparison: write {_INSTEAD[self._token.lower]}")
        if reader is None and negated:
            self._fail("expected 'in', 'like' or 'between' after 'not'")
        if reader is None:
            spaced = f', or quotes around a name with spaces, as in {field.table}."a b"' if self._token.lower else ""
            self._fail(f"expected a comparison, such as '=' or '<', after {first.shown()}{spaced}")
        self._next()
        return reader(field, negated)

    def _is(self, field: Field) -> Node:
        negated = self._took("not")
        if self._token.lower not in {*_NULLS, "nan"}:
            self._fail("expected 'null' or 'nan' after 'is'; compare values with '='")
        return Is(field, "nan" if self._next().lower == "nan" else "null", negated)

    def _in(self, field: Field, negated: bool) -> Node:
        opening = self._token
        if opening.kind != "(":
            self._fail("expected '(' after 'in', as in params.lr in (0.1, 0.01)")
        self._next()
        values = [self._value("expected a value after '('", field, whole=True)]
        while self._at(","):
            self._next()
            values.append(self._value("expected a value after ','", field, whole=True))
        if self._at("end"):
            self._fail("a '(' is not closed", opening)
        if not self._at(")"):
            self._fail(f"expected ',' or ')' before {self._token.shown()}")
        self._next()
        return In(field, tuple(values), negated)

    def _like(self, field: Field, negated: bool) -> Node:
        token = self._token
        if _is_number(field):
            self._fail(f"{field.table}.{field.key} is a number: compare it with =, <, > or between")
        if token.kind != "string":
            self._fail("expected text in quotes after 'like', as in run.name like 'calm%'")
        pattern = str(self._next().value)
        if len(pattern.encode()) > MAX_PATTERN:
            self._fail(f"a pattern has at most {MAX_PATTERN:,} bytes", token)
        return Like(field, pattern, negated)

    def _between(self, field: Field, negated: bool) -> Node:
        low = self._value("expected a value after 'between'", field)
        if not self._took("and"):
            self._fail("expected 'and' and the upper end of 'between'")
        return Between(field, low, self._value("expected a value after 'and'", field), negated)

    def _value(self, expected: str, field: Field, *, whole: bool = False) -> Value:
        token = self._token
        if token.lower in _NULLS:
            self._fail("null is no value to compare with: add 'or ... is null'")
        operand = self._operand(expected)
        if isinstance(operand, Field):
            self._fail(f"{expected}, not a field", token)
        return self._fitting(field, operand, token, whole=whole)

    def _operand(self, expected: str, *, first: bool = False) -> Field | Value:
        token = self._token
        if token.kind in {"number", "string"}:
            return Value(self._next().value)
        if token.lower in _WORD_VALUES:
            return Value(_WORD_VALUES[self._next().lower])
        if token.lower in _KEYWORDS | _NULLS or token.kind not in {"word", "path"}:
            self._fail(expected)
        if token.kind == "word" and not first and token.text not in _TABLES:
            self._fail(f"text goes in quotes: '{token.text}'")
        return self._field(self._next())

    def _field(self, token: Token) -> Field:
        head, parts = path_parts(token.text)
        if head not in _TABLES or not parts:
            self._fail(_not_a_field(head, token.text, bool(parts)), token)
        if not all(part for part, _ in parts):
            self._fail("a key is not empty", token)
        part = ""
        if head == "metrics":
            *front, (last, quoted) = parts
            is_part = bool(front) and not quoted and last in METRIC_PARTS
            part, parts = (last, front) if is_part else ("last", parts)
        key = ".".join(name for name, _ in parts)
        if head == "run" and key not in RUN_ATTRIBUTES:
            self._fail(_not_an_attribute(key), token)
        return Field(_TABLES[head], key, part)

    def _at(self, kind: Kind) -> bool:
        return self._token.kind == kind

    def _took(self, keyword: str) -> bool:
        if self._token.lower != keyword:
            return False
        self._next()
        return True

    def _next(self) -> Token:
        token = self._token
        self._token = next(self._tokens)
        return token

    def _fail(self, message: str, token: Token | None = None) -> NoReturn:
        raise QuerySyntaxError(message, text=self._text, column=(token or self._token).column)


def reads_as_number(text: str) -> int | float | None:
    """The number that a text is, as JSON writes numbers, white space around it or not; None of any other text.

    >>> reads_as_number("1e-4"), reads_as_number("abc")
    (0.0001, None)
    """
    if not _NUMBER.fullmatch(text.strip(" \t\r\n")) or len(text) > MAX_DIGITS:
        return None
    number: int | float = json.loads(text)
    return number


def _is_number(field: Field) -> bool:
    return field.table == "metrics" or (field.table == "run" and field.key in RUN_NUMBERS)


def _not_a_field(head: str, text: str, has_key: bool) -> str:
    if head in _TABLES:
        return f"'{head}' needs a key, as in {'run.name' if head == 'run' else head + '.lr'}"
    meant = _MEANT.get(head.lower())
    near = [meant] if meant else difflib.get_close_matches(head.lower(), _TABLES, n=1)
    if has_key and near:
        return f"no fields begin with '{head}.'; did you mean '{near[0]}.'"
    if has_key:
        return f"no fields begin with '{head}.': they begin with params., metrics., tags. or run."
    if head in RUN_ATTRIBUTES:
        return f"'{text}' is not a field; write run.{text}, or params.{text} for a param"
    keys = f"params.{text}, metrics.{text} or tags.{text}"
    if near := difflib.get_close_matches(head.lower(), RUN_ATTRIBUTES, n=1, cutoff=0.75):
        return f"'{text}' is not a field; did you mean run.{near[0]}, or {keys}"
    return f"'{text}' is not a field; write {keys}"


def _not_an_attribute(key: str) -> str:
    near = difflib.get_close_matches(key.lower(), RUN_ATTRIBUTES, n=3, cutoff=0.5)
    if key.partition(".")[0] in _TABLES:
        return f"a run has no '{key[:40]}'; write {key[:40]}, without 'run.'"
    hint = f"did you mean {' or '.join('run.' + name for name in near)}?" if near else "params are params.KEY."
    return f"a run has no '{key[:40]}'; {hint} It has {', '.join(RUN_ATTRIBUTES)}"
