"""Filters and orders against a second reading of their meaning, in plain Python; and any text against SQLite."""

from __future__ import annotations

import json
import math
import operator
import random
import re
import sqlite3
from datetime import datetime, timedelta

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from modelmgmt.errors import QuerySyntaxError
from modelmgmt.store import schema
from modelmgmt.tracking.query import compile_filter, compile_order

QUICK = settings(deadline=None, suppress_health_check=list(HealthCheck))

# --- a store, as Python values ---------------------------------------------------------------------------------------

INF, NAN = float("inf"), float("nan")
KEYS = ["x", "a.b", "val/loss `", "x.min", "min", "a-é", "and", "' --", "val/top-5@k:3", "0.1e5", "a+b*c%#[0]"]
TEXTS = ["", "a", "A", "ab", "É", "é", "it's", '"', "`", "%", "a_", "[1, 2]", "[]", "😀\n", "null"]
TEXTS += [
    "0.1",
    "1",
    "-1e-7",
    "1E3",
    "01",
    ".5",
    "+1",
    " 1",
    "1_0",
    "9223372036854775808",
    "inf",
    "true",
    "False",
    "TRUE",
]
INTS = [0, 1, -1, 2, 2**53, 2**53 + 1, 2**63 - 1, -(2**63), 2**63, -(2**63) - 1, 10**30, -(10**30)]
FLOATS = [0.0, -0.0, 1.0, 0.1, -2.5, 1e-7, 2.0**53, 1e300, 9.223372036854776e18, INF, -INF, NAN]
LISTS = [[], [1, 2], ["a"]]
START = datetime(2026, 1, 31, 23, 59, 59)
MOMENTS = [0, 1, 250_000, 999_999, 60_250_001]

params = st.one_of(st.none(), st.booleans(), *map(st.sampled_from, (INTS, FLOATS, TEXTS, LISTS)))
keyed = lambda values: st.dictionaries(st.sampled_from(KEYS), values, max_size=6)
maybe_text = st.none() | st.sampled_from(TEXTS)


@st.composite
def runs(draw):
    started = draw(st.sampled_from(MOMENTS))
    ended = draw(st.none() | st.sampled_from(MOMENTS))
    return {
        "params": draw(keyed(params)),
        "tags": draw(keyed(st.sampled_from(TEXTS))),
        "metrics": draw(keyed(st.lists(st.sampled_from(FLOATS), min_size=1, max_size=3))),
        "run": {
            "name": draw(st.sampled_from(TEXTS)),
            "number": draw(st.sampled_from([0, 1, 2])),
            "started_at": stamp(started),
            "ended_at": None if ended is None else stamp(ended),
            "duration_s": None if ended is None else (ended - started) / 1_000_000,
            "group": draw(maybe_text),
            "error": draw(maybe_text),
        },
    }


def stamp(microseconds: int) -> str:
    return (START + timedelta(microseconds=microseconds)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


@st.composite
def stores(draw):
    made = draw(st.lists(runs(), min_size=1, max_size=4))
    for number, run in enumerate(made):
        run["run"]["id"] = f"run{number}"
    return made


def summary(points):
    real = [point for point in points if not math.isnan(point)]
    total = sum(real) / len(real) if real else NAN
    return {
        "count": len(points),
        "first": points[0],
        "last": points[-1],
        "min": min(real, default=NAN),
        "max": max(real, default=NAN),
        "mean": total,
    }


def written(made) -> sqlite3.Connection:
    db = sqlite3.connect(":memory:")
    for statement in schema.RUNS:
        db.execute(statement)
    for run in made:
        facts, key = run["run"], run["run"]["id"]
        db.execute(
            "INSERT INTO runs (id, experiment, name, number, status, started_at, ended_at, group_name, error, host, "
            "boot_id, pid, process_start, command, lost_points, crc) "
            "VALUES (?, 'e', ?, ?, 'running', ?, ?, ?, ?, 'h', '', 1, '', 'c', 0, 0)",
            [key, *(facts[name] for name in ("name", "number", "started_at", "ended_at", "group", "error"))],
        )
        for name, value in run["params"].items():
            db.execute(
                "INSERT INTO params (run, key, value, type, crc) VALUES (?, ?, ?, ?, 0)", (key, name, *stored(value))
            )
        for name, value in run["tags"].items():
            db.execute("INSERT INTO tags VALUES (?, ?, ?, 0)", (key, name, value))
        for name, points in run["metrics"].items():
            s = summary(points)
            nans = [math.isnan(point) for point in points]
            db.execute(
                "INSERT INTO metrics VALUES (?, ?, ?, ?, ?, ?, 0, 0, ?, ?, 0, 0, ?, 0, ?, 0, ?, 0)",
                (
                    key,
                    name,
                    s["count"],
                    sum(nans),
                    s["first"],
                    nans[0],
                    s["last"],
                    nans[-1],
                    s["min"],
                    s["max"],
                    s["mean"],
                ),
            )
    return db


def stored(value):
    if isinstance(value, list):
        return json.dumps(value), "json"
    if isinstance(value, int) and not isinstance(value, bool) and not -(2**63) <= value < 2**63:
        return str(value), "int"
    return value, {bool: "bool", int: "int", float: "float", str: "str", type(None): "null"}[type(value)]


# --- what a filter means -------------------------------------------------------------------------------------------

OPERATORS = {
    "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge, "=": operator.eq,
}  # fmt: skip


def looked_up(run, side):
    """A Python value; None is null, a list is a list."""
    if side[0] == "value":
        return side[1]
    _, table, key, part = side
    if table == "metrics":
        return summary(run[table][key])[part] if key in run[table] else None
    return run[table].get(key)


def is_number(value):
    return isinstance(value, int | float)


def plain(value):
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        return float(value)
    return value


def read(value):
    """The number that a text reads as; any other value as it is."""
    number = r"[ \t\r\n]*-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?[ \t\r\n]*"
    if isinstance(value, str) and re.fullmatch(number, value, re.ASCII):
        return json.loads(value)
    return value


def holds(left, op, right, literal=None) -> bool:
    """`literal` is the one of both that was written in the filter: there, 'true' is also the number 1."""
    other = left if literal is right else right
    if op == "=" and isinstance(literal, bool) and isinstance(other, str) and other.lower() == str(literal).lower():
        return True
    if isinstance(left, str) != isinstance(right, str):
        words = {"true": 1, "false": 0}
        left, right = (
            words[side.lower()] if side is literal and isinstance(side, str) and side.lower() in words else read(side)
            for side in (left, right)
        )
    if is_number(left) and is_number(right):
        return OPERATORS[op](plain(left), plain(right))
    if isinstance(left, str) and isinstance(right, str):
        return OPERATORS[op](left, right)
    if op != "=":
        return False
    sides = [json.dumps(side) if isinstance(side, list) else side for side in (left, right)]
    return all(isinstance(side, str) for side in sides) and sides[0] == sides[1]


def alike(value, pattern) -> bool:
    if isinstance(value, list):
        value = json.dumps(value)
    if not isinstance(value, str):
        return False
    wild = {"%": ".*", "_": "."}
    expression = "".join(wild.get(c, re.escape(c)) for c in lowered(pattern))
    return re.fullmatch(expression, lowered(value), re.DOTALL) is not None


def lowered(text: str) -> str:
    return "".join(c.lower() if c.isascii() else c for c in text)


def means(run, node) -> bool:
    kind = node[0]
    if kind == "and":
        return all(means(run, child) for child in node[1])
    if kind == "or":
        return any(means(run, child) for child in node[1])
    if kind == "not":
        return not means(run, node[1])
    _, negated, subject, *rest = node
    value = looked_up(run, subject)
    if kind == "null":
        return (value is None) != negated
    sides = [value]
    if kind == "compare":
        sides.append(looked_up(run, rest[1]))
        literal = next((side[1] for side in (subject, rest[1]) if side[0] == "value"), None)
        truth = None not in sides and holds(value, rest[0], sides[1], literal)
    elif kind == "in":
        truth = any(holds(value, "=", choice, choice) for choice in rest[0])
    elif kind == "between":
        truth = holds(value, ">=", rest[0], rest[0]) and holds(value, "<=", rest[1], rest[1])
    elif kind == "like":
        truth = alike(value, rest[0])
    else:
        truth = isinstance(value, float) and math.isnan(value)
    return not any(side is None for side in sides) and truth != negated


def is_refused(node) -> bool:
    """Whether a comparison in it cannot be meant: a number with a text that is none, a time with what is no time."""
    kind = node[0]
    if kind in {"and", "or"}:
        return any(map(is_refused, node[1]))
    if kind == "not":
        return is_refused(node[1])
    if kind in {"null", "nan"}:
        return False
    _, _, subject, *rest = node
    if kind == "compare":
        sides = subject, rest[1]
        fields, values = ([side for side in sides if side[0] == what] for what in ("field", "value"))
        return bool(values) and is_odd(fields[0], values[0][1], whole=rest[0] == "=")
    if kind == "like":
        return is_numeric(subject)
    values = rest[0] if kind == "in" else rest
    return any(is_odd(subject, value, whole=kind == "in") for value in values)


def is_numeric(field) -> bool:
    return field[1] == "metrics" or (field[1] == "run" and field[2] in {"number", "duration_s"})


def is_odd(field, value, *, whole) -> bool:
    if is_numeric(field):
        return isinstance(read(value), str)
    if field[1] == "run" and field[2] in {"started_at", "ended_at"}:
        return not isinstance(value, str) or not value.startswith("2026-") or (whole and len(value) < 27)
    return False


# --- filters, as tuples and as text --------------------------------------------------------------------------------

PARTS = ["last", "first", "min", "max", "mean", "count"]
ATTRIBUTES = ["id", "name", "number", "started_at", "ended_at", "duration_s", "group", "error"]

fields = st.one_of(
    st.tuples(st.just("field"), st.sampled_from(["params", "tags"]), st.sampled_from(KEYS), st.just("")),
    st.tuples(st.just("field"), st.just("metrics"), st.sampled_from(KEYS), st.sampled_from(PARTS)),
    st.tuples(st.just("field"), st.just("run"), st.sampled_from(ATTRIBUTES), st.just("")),
)
literals = st.one_of(
    st.booleans(),
    *map(st.sampled_from, (INTS, FLOATS, TEXTS)),
    st.sampled_from([0.25, 60.0, 60.250001, stamp(0), "2026-01-31", "2026-02", "run1"]),
)
sides = fields | literals.map(lambda value: ("value", value))
compares = st.tuples(
    st.just("compare"), st.booleans(), sides, st.sampled_from(list(OPERATORS)), sides
).filter(lambda node: (node[2][0] == "field" or node[4][0] == "field") and (not node[1] or node[3] == "="))  # fmt: skip
leaves = st.one_of(
    compares,
    st.tuples(st.sampled_from(["null", "nan"]), st.booleans(), fields),
    st.tuples(st.just("in"), st.booleans(), fields, st.lists(literals, min_size=1, max_size=4)),
    st.tuples(st.just("between"), st.booleans(), fields, literals, literals),
    st.tuples(st.just("like"), st.booleans(), fields, st.sampled_from([*TEXTS, "%a%", "_", "É%", "%1_", "A%"])),
)
nodes = st.recursive(
    leaves,
    lambda inner: (
        st.tuples(st.just("not"), inner)
        | st.tuples(st.sampled_from(["and", "or"]), st.lists(inner, min_size=2, max_size=4))
    ),
    max_leaves=12,
)


class Writer:
    """Writes a filter in one of the many ways in which it can be written."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng

    def word(self, text):
        return self.rng.choice([text, text.upper(), text.title()])

    def gap(self, *, needed=True):
        return self.rng.choice([" ", " ", "  ", "\n", "\t "] if needed else ["", " "])

    def joined(self, *pieces):
        return "".join(piece + self.gap() for piece in pieces[:-1]) + pieces[-1]

    def quoted(self, key):
        quote = self.rng.choice("`'\"")
        return quote + key.replace(quote, quote * 2) + quote

    def field(self, field):
        _, table, key, part = field
        parts = key.split(".")
        bare = all(re.fullmatch(r"[\w/@:+*%#\[\]-]+", one) for one in parts)
        taken = table == "metrics" and len(parts) > 1 and parts[-1] in PARTS and part == "last"
        text = key if bare and not taken and self.rng.random() < 0.7 else self.quoted(key)
        suffix = "" if table != "metrics" or (part == "last" and self.rng.random() < 0.6) else f".{part}"
        return f"{table}.{text}{suffix}"

    def literal(self, value):
        if isinstance(value, str):
            quote = self.rng.choice("'\"")
            return quote + value.replace(quote, quote * 2) + quote
        if isinstance(value, bool):
            return self.word(str(value).lower())
        text = repr(value)
        if not text.startswith("-") and self.rng.random() < 0.2:
            text = "+" + text
        return self.rng.choice([text, text.upper()])

    def side(self, side):
        return self.literal(side[1]) if side[0] == "value" else self.field(side)

    def op(self, op, *, negated):
        return self.rng.choice(["!=", "<>"]) if negated else self.rng.choice(["=", "=="]) if op == "=" else op

    def node(self, node):
        text = self._node(node)
        return f"({self.gap(needed=False)}{text}{self.gap(needed=False)})" if self.rng.random() < 0.15 else text

    def inner(self, node, outer):
        loose = node[0] in {"and", "or"} and not (outer == "or" and node[0] == "and" and self.rng.random() < 0.5)
        return f"({self._node(node)})" if loose else self.node(node)

    def _node(self, node):
        kind = node[0]
        if kind == "not":
            return self.joined(self.word("not"), self.inner(node[1], "not"))
        if kind in {"and", "or"}:
            pieces = [self.inner(child, kind) for child in node[1]]
            return (self.gap() + self.word(kind) + self.gap()).join(pieces)
        _, negated, subject, *rest = node
        no = [self.word("not")] if negated else []
        if kind == "compare":
            gap = self.gap(needed=False)
            return self.side(subject) + gap + self.op(rest[0], negated=negated) + gap + self.side(rest[1])
        if kind in {"null", "nan"}:
            what = self.word("nan" if kind == "nan" else self.rng.choice(["null", "none"]))
            return self.joined(self.field(subject), self.word("is"), *no, what)
        subject = self.field(subject)
        if kind == "in":
            choices = ("," + self.gap(needed=False)).join(map(self.literal, rest[0]))
            return self.joined(subject, *no, self.word("in") + self.gap(needed=False) + f"({choices})")
        ends = [self.literal(one) for one in rest]
        if kind == "between":
            return self.joined(subject, *no, self.word("between"), ends[0], self.word("and"), ends[1])
        return self.joined(subject, *no, self.word("like"), ends[0])


# --- every value against every other ----------------------------------------------------------------------------------

VALUES = [None, True, False, *INTS, *FLOATS, *TEXTS, *LISTS]
FACTS = {
    "id": "a", "name": "n", "number": 1, "started_at": stamp(0), "ended_at": None, "group": None, "error": None,
}  # fmt: skip
X, Y = ("field", "params", "x", ""), ("field", "params", "y", "")


def store_of(params):
    return [
        {"params": held, "tags": {}, "metrics": {}, "run": {**FACTS, "id": f"{number:05}"}}
        for number, held in enumerate(params)
    ]


def agrees(db, made, node):
    text = Writer(random.Random(1)).node(node)
    compiled = compile_filter(text)
    rows = db.execute(f"SELECT id, {compiled.sql} FROM runs ORDER BY id", compiled.values).fetchall()
    assert rows == [(run["run"]["id"], means(run, node)) for run in made], text


def test_every_value_against_every_literal():
    made = store_of([{}, *({"x": value} for value in VALUES)])
    db = written(made)
    for negated in (False, True):
        for value in [one for one in VALUES if one is not None and not isinstance(one, list)]:
            for op in ["="] if negated else OPERATORS:
                agrees(db, made, ("compare", negated, X, op, ("value", value)))
                agrees(db, made, ("compare", negated, ("value", value), op, X))
            agrees(db, made, ("in", negated, X, [value, 1, "a"]))
            agrees(db, made, ("between", negated, X, value, 2))
            agrees(db, made, ("between", negated, X, "A", value))
            agrees(db, made, ("like", negated, X, str(value)))
        agrees(db, made, ("null", negated, X))
        agrees(db, made, ("nan", negated, X))
    db.close()


def test_every_value_against_every_other():
    made = store_of([{"x": one, "y": other} for one in VALUES for other in VALUES] + [{"x": 1}, {"y": 1}, {}])
    db = written(made)
    for op in OPERATORS:
        agrees(db, made, ("compare", False, X, op, Y))
    agrees(db, made, ("compare", True, X, "=", Y))
    db.close()


# --- the properties ------------------------------------------------------------------------------------------------


@settings(QUICK, max_examples=200)
@given(stores(), st.lists(nodes | leaves, min_size=1, max_size=8), st.randoms(use_true_random=False))
def test_sql_and_python_agree(made, filters, rng):
    db = written(made)
    try:
        for node in filters:
            text = Writer(rng).node(node)
            if is_refused(node):
                with pytest.raises(QuerySyntaxError):
                    compile_filter(text)
                continue
            compiled = compile_filter(text)
            rows = db.execute(f"SELECT id, {compiled.sql} FROM runs ORDER BY id", compiled.values).fetchall()
            assert rows == [(run["run"]["id"], means(run, node)) for run in made], text
            where = db.execute(f"SELECT id FROM runs WHERE {compiled.sql} ORDER BY id", compiled.values).fetchall()
            assert where == [(key,) for key, truth in rows if truth], text
    finally:
        db.close()


def rank(value):
    """Where a value stands; None for what comes last."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    return (0, plain(value)) if is_number(value) else (1, value if isinstance(value, str) else json.dumps(value))


@settings(QUICK, max_examples=150)
@given(stores(), st.lists(st.tuples(st.sampled_from("-+"), fields), max_size=3), st.randoms(use_true_random=False))
def test_orders_agree(made, order, rng):
    expected = sorted(made, key=lambda run: (run["run"]["started_at"], run["run"]["id"]), reverse=True)
    for sign, field in reversed(order):
        here = [run for run in expected if rank(looked_up(run, field)) is not None]
        gone = [run for run in expected if rank(looked_up(run, field)) is None]
        # Equal ones stay as the later fields put them, in either direction: sorted() is stable with reverse, too.
        expected = sorted(here, key=lambda run, field=field: rank(looked_up(run, field)), reverse=sign == "-") + gone
    compiled = compile_order([rng.choice([sign, sign + " "]) + Writer(rng).field(field) for sign, field in order])
    db = written(made)
    try:
        rows = db.execute(f"SELECT id FROM runs ORDER BY {compiled.sql}", compiled.values).fetchall()
    finally:
        db.close()
    assert [key for (key,) in rows] == [run["run"]["id"] for run in expected]


MARK = "zq7"


@settings(QUICK, max_examples=100)
@given(nodes, st.randoms(use_true_random=False))
def test_no_text_of_the_user_is_in_the_sql(node, rng):
    def marked(value):
        if isinstance(value, str):
            return MARK + value
        return [marked(one) for one in value] if isinstance(value, list) else value

    def mark(node):
        if node[0] in {"and", "or"}:
            return (node[0], [mark(child) for child in node[1]])
        if node[0] == "not":
            return ("not", mark(node[1]))
        if node[0] == "compare":
            return (*node[:2], side(node[2]), node[3], side(node[4]))
        return (*node[:2], side(node[2]), *map(marked, node[3:]))

    def side(one):
        if one[0] == "value":
            return ("value", marked(one[1]))
        return one if one[1] == "run" else (*one[:2], MARK + one[2], one[3])

    assume(not is_refused(mark(node)))
    compiled = compile_filter(Writer(rng).node(mark(node)))
    assert MARK not in compiled.sql
    assert set(compiled.sql) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 _.,()?'%=<>+-*/")
    assert compiled.sql.count("?") == len(compiled.values)


PIECES = st.sampled_from(
    [
        *("and", "or", "not", "in", "is", "like", "between", "null", "nan", "inf", "true", "(", ")", "((", ",", "."),
        *(
            "params.x",
            "metrics.x",
            "metrics.`a/b`.min",
            "metrics.a/b",
            "params.'x'",
            "tags.x",
            "run.name",
            "run.duration_s",
            "name",
            "params",
            "run.",
        ),
        *("=", "==", "!=", "<>", "<", "<=", ">", ">=", "!", "1", "-1", "1e400", "9" * 25, ".5", "1.", "'a'", '"b"'),
        *("'", '"', "`", "%", ";", "--", "/*", "?", ":a", "\0", "\ud800", "é", " ", "\n"),
    ]
)


@pytest.fixture(scope="module")
def empty():
    db = written([{"params": {"x": 1}, "tags": {}, "metrics": {"x": [1.0]}, "run": {**FACTS, "duration_s": None}}])
    yield db
    db.close()


@settings(QUICK, max_examples=1000)
@given(
    st.lists(PIECES, max_size=12).map(" ".join) | st.lists(PIECES, max_size=8).map("".join) | st.text(st.characters())
)
def test_any_text_is_compiled_or_refused(empty, text):
    for compiler, clause in ((compile_filter, "WHERE"), (compile_order, "ORDER BY")):
        try:
            compiled = compiler(text)
        except QuerySyntaxError as error:
            refused = error
        else:
            empty.execute(f"SELECT id FROM runs {clause} {compiled.sql}", compiled.values).fetchall()
            continue
        assert 1 <= refused.column <= len(text) + 1
        assert refused.text == text
