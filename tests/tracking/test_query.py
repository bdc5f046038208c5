"""The filter language by example: what matches, what is refused and where, what becomes of it in SQL."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator

import pytest

from modelmgmt.errors import InvalidTypeError, QuerySyntaxError
from modelmgmt.store import schema
from modelmgmt.tracking.query import FIELDS, Compiled, compile_filter, compile_order, parse
from modelmgmt.tracking.query.language import MAX_DEPTH, MAX_LENGTH
from modelmgmt.tracking.query.tree import RUN_ATTRIBUTES, And, Compare, Field, Value

RUNS = {
    # id: (experiment, name, number, status, started_at, ended_at, parent, group_name, error, user)
    "a": (
        "churn",
        "calm-otter-1",
        1,
        "finished",
        "2026-01-31T10:00:00.250000Z",
        "2026-01-31T10:01:00.500001Z",
        *"....",
    ),
    "b": ("churn", "Bold-fox-2", 2, "failed", "2026-02-01T00:00:00.000000Z", "2026-02-01T00:00:10.000000Z", *"a.X."),
    "c": ("fraud", "calm-elk-1", 1, "running", "2026-02-02T00:00:00.000000Z", None, *".gxu"),
}
PARAMS = [
    ("a", "lr", 0.01, "float"),
    ("a", "flag", 1, "bool"),
    ("a", "n", 1, "int"),
    ("a", "opt", "Adam", "str"),
    ("a", "layers", "[1, 2]", "json"),
    ("a", "seed", "123456789012345678901234567890", "int"),
    ("a", "exact", 2**53 + 1, "int"),
    ("a", "nothing", None, "null"),
    ("a", "odd", None, "float"),
    ("a", "val/a `b`.c", 5, "int"),
    ("a", "amp", "True", "str"),
    ("b", "amp", 1, "bool"),
    ("c", "amp", "false", "str"),
    ("b", "lr", 0.1, "float"),
    ("b", "flag", 0, "bool"),
    ("b", "n", 2, "int"),
    ("b", "p@1:2%#[x]+é*/", 6, "int"),
    ("b", "0/1e5", 7, "int"),
    ("b", "opt", "sgd", "str"),
    ("b", "odd", float("inf"), "float"),
    ("c", "lr", "0.1", "str"),
    ("c", "optimizer.lr", 0.5, "float"),
    ("c", "batch-size", 32, "int"),
]
TAGS = [("a", "team", "a"), ("b", "team", "it's"), ("b", "fold", "3")]
METRICS = [
    # run, key, count, first, last, min, max, mean
    ("a", "acc", 3, 0.1, 0.9, 0.1, 0.95, 0.6),
    ("a", "val/loss", 2, 5.0, 4.0, 4.0, 5.0, 4.5),
    ("b", "acc", 2, 0.5, None, 0.5, 0.5, 0.5),
    ("c", "acc", 1, None, None, None, None, None),
    ("c", "loss.min", 1, 7.0, 7.0, 7.0, 7.0, 7.0),
    ("c", "min", 1, 8.0, 8.0, 8.0, 8.0, 8.0),
]


@pytest.fixture(scope="module")
def db() -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(":memory:")
    for statement in schema.RUNS:
        connection.execute(statement)
    for key, (experiment, name, number, status, started, ended, *optional) in RUNS.items():
        parent, group, error, user = (None if value == "." else value for value in optional)
        connection.execute(
            "INSERT INTO runs VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 'h', 'b', 1, 's', 'python train.py', 0, 0)",
            (key, experiment, name, number, status, started, ended, parent, group, error, user),
        )
    connection.executemany("INSERT INTO params (run, key, value, type, crc) VALUES (?, ?, ?, ?, 0)", PARAMS)
    connection.executemany("INSERT INTO tags VALUES (?, ?, ?, 0)", TAGS)
    for run, key, count, first, last, low, high, mean in METRICS:
        connection.execute(
            "INSERT INTO metrics VALUES (?, ?, ?, 0, ?, ?, 0, 0, ?, ?, 0, 0, ?, 0, ?, 0, ?, 0)",
            (run, key, count, first, first is None, last, last is None, low, high, mean),
        )
    yield connection
    connection.close()


def found(db: sqlite3.Connection, text: str) -> str:
    compiled = compile_filter(text)
    rows = db.execute(f"SELECT id, {compiled.sql} FROM runs ORDER BY id", compiled.values).fetchall()
    assert {truth for _, truth in rows} <= {0, 1}, "two truth values, never NULL"
    return "".join(run for run, truth in rows if truth)


EXAMPLES = [
    ("", "abc"),
    (" \n\t", "abc"),
    ("params.lr < 0.05 and metrics.acc > 0.8 and tags.team = 'a'", "a"),
    # presence and two truth values
    ("params.opt = 'sgd'", "b"),
    ("params.opt != 'sgd'", "a"),
    ("not params.opt = 'sgd'", "ac"),
    ("not params.opt != 'sgd'", "bc"),
    ("params.opt not in ('sgd', 'x')", "a"),
    ("not (params.opt in ('sgd'))", "ac"),
    ("params.opt is null", "c"),
    ("params.opt IS NOT None", "ab"),
    ("not params.opt is not null", "c"),
    ("params.nothing is null", "abc"),
    ("params.nothing = 1 or params.nothing != 1", ""),
    ("run.ended_at is null and run.ended_at != '2026-02-01T00:00:10.000000Z'", ""),
    ("not run.ended_at < '3000'", "c"),
    # numbers and text
    ("params.lr > 0.05", "bc"),
    ("params.lr > 'abc'", ""),
    ("params.lr < 'abc'", "c"),
    ("params.lr = '0.1'", "bc"),
    ("params.lr != '0.1'", "a"),
    ("params.lr <> 0.1", "a"),
    ("params.lr in (0.01, '0.1')", "abc"),
    ("params.lr in ('x', 0.1, nan)", "bc"),
    ("params.lr between 0.01 and 0.1", "abc"),
    ("params.opt between 0 and 'z'", ""),
    ("params.lr not between 0.05 and 1", "a"),
    ("0.05 < params.lr", "bc"),
    ("+1e-2 == params.lr", "a"),
    ("params.n >= .5 and params.n <= 1.", "a"),
    ("tags.fold = 3", "b"),
    ("3.0 = tags.fold", "b"),
    ("tags.fold != 3", ""),
    ("tags.fold >= 20", ""),
    ("tags.fold >= '20'", "b"),
    ("tags.fold between 1 and 20", "b"),
    ("tags.fold in (3, 4) and tags.team not in (3)", "b"),
    ("tags.fold > params.n", "b"),
    ("params.n < tags.fold", "b"),
    ("params.lr = '1e-2' or params.n in ('2')", "ab"),
    ("params.lr < '2e-2'", "ac"),
    ("metrics.acc between '0.8' and '1'", "a"),
    ("tags.fold in (3, '3')", "b"),
    ("metrics.acc = '0.9'", "a"),
    ("metrics.acc in ('9e-1')", "a"),
    # bool, big ints, lists
    ("params.flag = true", "a"),
    ("params.flag = FALSE", "b"),
    ("params.n = true", "a"),
    ("params.flag = 1", "a"),
    ("params.flag = 'true'", "a"),
    ("params.flag in ('False')", "b"),
    ("params.amp = true", "ab"),
    ("true = params.amp", "ab"),
    ("params.amp != true", "c"),
    ("params.amp in (true)", "ab"),
    ("params.amp in (false, 'x')", "c"),
    ("params.amp = 'True'", "ab"),
    ("params.amp = 1", "b"),
    ("params.seed = 123456789012345678901234567890", "a"),
    ("params.seed > 9223372036854775807", "a"),
    ("params.seed < -99999999999999999999", ""),
    ("params.seed in (123456789012345678901234567890)", "a"),
    ("params.exact = 9007199254740993", "a"),
    ("params.exact = 9007199254740992", ""),
    ("params.exact > 9007199254740992.0", "a"),
    ("params.layers = '[1, 2]'", "a"),
    ("params.layers like '[1,%'", "a"),
    ("params.layers in ('[1, 2]')", "a"),
    ("params.layers > '' or params.layers between '' and 'z'", ""),
    ("params.layers != 'x'", "a"),
    # NaN and inf
    ("params.odd = nan or params.odd < nan", ""),
    ("params.odd != nan", "ab"),
    ("params.odd is null", "c"),
    ("params.odd is nan", "a"),
    ("params.odd is not nan", "b"),
    ("params.odd = inf", "b"),
    ("params.odd > -Infinity", "b"),
    ("params.odd < 1e999", ""),
    ("metrics.acc != 0.9", "bc"),
    ("metrics.acc is nan", "bc"),
    ("metrics.acc is null", ""),
    ("metrics.acc.mean is nan", "c"),
    ("metrics.acc > 0", "a"),
    # parts of a metric, keys in backquotes
    ("metrics.acc.min < 0.2", "a"),
    ("metrics.acc.max = 0.95", "a"),
    ("metrics.acc.first = .5", "b"),
    ("metrics.acc.last = .9", "a"),
    ("metrics.acc.count >= 2", "ab"),
    ("metrics.acc.count is nan", ""),
    ("metrics.`val/loss` = 4", "a"),
    ("metrics.val/loss = 4", "a"),
    ("metrics.val/loss.max = 5", "a"),
    ("metrics.val/loss<5 and(metrics.val/loss>3)", "a"),
    ("(metrics.val/loss is not null)", "a"),
    ("4=metrics.val/loss", "a"),
    ("metrics.'val/loss'.max = 5", "a"),
    ('metrics."val/loss" = 4', "a"),
    ("params.\"val/a `b`\".'c' = 5", "a"),
    ("params.p@1:2%#[x]+é*/ = 6", "b"),
    ("params.0/1e5=7", "b"),
    ("metrics.`val/loss`.max = 5", "a"),
    ("metrics.`val/loss.max` = 5", ""),
    ("metrics.`loss.min` = 7", "c"),
    ("metrics.loss.`min` = 7", "c"),
    ("metrics.loss.min.min = 7", "c"),
    ("metrics.loss.min = 7", ""),
    ("metrics.`loss.min`.min = 7", "c"),
    ("metrics.min = 8 and metrics.min.min = 8", "c"),
    ("params.optimizer.lr = 0.5", "c"),
    ("params.batch-size = 32", "c"),
    ("params.`val/a ``b``.c` = 5", "a"),
    ("params.`val/a ``b```.c=5", "a"),
    # text
    ("tags.team = 'it''s'", "b"),
    ('tags.team = "it\'s"', "b"),
    ("run.name like 'CALM%'", "ac"),
    ("run.name not like '%otter__'", "bc"),
    ("params.opt like 'a%'", "a"),
    ("params.opt = 'adam'", ""),
    ("params.lr like '0%'", "c"),
    ("params.lr not like '0%'", "ab"),
    ("params.opt > 'Z'", "b"),
    # the run
    ("run.id = 'a'", "a"),
    ("run.experiment = 'churn' and not run.number > 1", "a"),
    ("run.status in ('failed', 'running')", "bc"),
    ("run.status = 'FINISHED'", "a"),
    ("'Failed' = run.status", "b"),
    ("run.status not in ('FAILED', 'Crashed', 'interrupted')", "ac"),
    ("run.started_at >= '2026-02-02 00:00'", "c"),
    ("run.started_at between '2026' and '2026-02-01T00:00:00.000000Z'", "ab"),
    ("run.started_at >= '2026-02-01'", "bc"),
    ("run.started_at like '2026-01-31%'", "a"),
    ("run.ended_at is null", "c"),
    ("run.duration_s = 60.250001", "a"),
    ("run.duration_s <= 10", "b"),
    ("run.duration_s is not null", "ab"),
    ("run.parent = 'a'", "b"),
    ("run.group = 'g'", "c"),
    ("run.group is null", "ab"),
    ("run.error is not null", "bc"),
    ("run.user is null", "ab"),
    ("run.host = 'h' and run.command like '%train.py' and run.lost_points = 0", "abc"),
    ("run.number = '1'", "ac"),
    ("run.user = 5 or not run.experiment = 7", "abc"),
    ("run.name is null", ""),
    ("run.name is not null", "abc"),
    # between fields
    ("metrics.acc.max > metrics.acc.first", "a"),
    ("params.n = params.flag", "a"),
    ("tags.team = run.id", "a"),
    ("tags.team != run.id", "b"),
    ("params.lr = params.optimizer.lr", ""),
    ("params.lr != params.optimizer.lr", "c"),
    ("metrics.acc.count > params.n", "a"),
    ("run.ended_at > run.started_at", "ab"),
    ("run.number > tags.fold", ""),
    # joining
    ("run.id='a' or run.id='b' and run.id='c'", "a"),
    ("(run.id='a' or run.id='b') and run.id!='a'", "b"),
    ("NOT NOT run.id='a' Or(run.id='c')", "ac"),
    ("not (run.id='a' or not (run.id='c' and tags.team is null))", "c"),
]


@pytest.mark.parametrize(("text", "expected"), EXAMPLES)
def test_a_filter_finds(db: sqlite3.Connection, text: str, expected: str) -> None:
    assert found(db, text) == expected


BAD = [
    ("params.lr <", 12, "expected a value after '<'"),
    ("params.lr < and", 13, "expected a value after '<'"),
    ("params.lr", 10, "expected a comparison, such as '=' or '<', after 'params.lr'"),
    ("params.lr 5", 11, "expected a comparison"),
    ("5 and", 3, "expected a comparison, such as '<', after '5'"),
    ("5", 2, "expected a comparison"),
    ("1 < 2", 1, "a comparison needs a field"),
    ("name = 'x'", 1, "'name' is not a field; write run.name, or params.name"),
    ("lr = 1", 1, "write params.lr, metrics.lr or tags.lr"),
    ("statu = 'x'", 1, "did you mean run.status, or params.statu"),
    ("tags.team = alpha", 13, "text goes in quotes: 'alpha'"),
    ("tags.team = 'alpha", 13, "a string is not closed"),
    ('tags.team = "al""pha', 13, "a string is not closed"),
    ("run.nmae = 'x'", 1, "did you mean run.name"),
    ("run.zzz = 'x'", 1, "a run has no 'zzz'; params are params.KEY. It has id, name"),
    ("run.group_name = 'x'", 1, "did you mean run.group"),
    ("true = run.name.x", 8, "a run has no 'name.x'"),
    ("params = 1", 1, "'params' needs a key"),
    ("params. = 1", 8, "expected a key after 'params.'"),
    ("params.a. = 1", 10, "expected a key after 'params.a.'"),
    ("params.`` = 1", 1, "a key is not empty"),
    ("params.`a = 1", 8, "a backquote is not closed"),
    ("params.`a``.b = 1", 8, "a backquote is not closed"),
    ("`a` = 1", 1, "backquotes hold a name"),
    ("params.'a = 1", 8, "a quoted name is not closed: a closing ' is missing"),
    ('params.x."a""b = 1', 10, "a quoted name is not closed"),
    ("params.'' = 1", 1, "a key is not empty"),
    ("param.lr = 1", 1, "did you mean 'params.'"),
    ("parameters.lr = 1", 1, "did you mean 'params.'"),
    ("metric.loss = 1", 1, "did you mean 'metrics.'"),
    ("tag.x = 1", 1, "did you mean 'tags.'"),
    ("attributes.status = 'finished'", 1, "did you mean 'run.'"),
    ("attr.status = 'finished'", 1, "did you mean 'run.'"),
    ("zzz.lr = 1", 1, "they begin with params., metrics., tags. or run."),
    ("metrics.val loss < 1", 13, 'quotes around a name with spaces, as in metrics."a b"'),
    ("metrics.a / metrics.b < 1", 11, "a filter has no arithmetic"),
    ("metrics.acc + 1 > 2", 13, "a filter has no arithmetic"),
    ("~params.a = 1", 1, "write 'not'"),
    ("tags.a ~ 'x'", 8, "like"),
    ("params.a in [1, 2]", 13, "write in (1, 2)"),
    ("params.a = [1, 2]", 12, "'[1, 2]' in quotes"),
    ("tags.a contains 'x'", 8, "'contains' is no comparison: write like '%text%'"),
    ("tags.a ILIKE 'x'", 8, "either case"),
    ("tags.a not contains 'x'", 12, "like '%text%'"),
    ("tags.a exists", 8, "write is not null"),
    ("metrics.acc = 'high'", 15, "metrics.acc is a number, and 'high' is text"),
    ("'high' < metrics.acc.max", 1, "metrics.acc is a number"),
    ("metrics.acc in (1, 'x')", 20, "metrics.acc is a number"),
    ("metrics.acc between 0 and 'x'", 27, "metrics.acc is a number"),
    ("metrics.acc like '0%'", 18, "metrics.acc is a number: compare it with"),
    ("metrics.acc = 'NaN'", 15, "write 'is nan'"),
    ("run.duration_s > '2 h'", 18, "run.duration_s is a number"),
    ("run.status = 'KILLED'", 14, "no status of a run is 'KILLED'; they are running, finished"),
    ("run.status = 'finnished'", 14, "did you mean 'finished'"),
    ("run.status in ('failed', 'done')", 26, "they are running"),
    ("run.status != 3", 15, "they are running"),
    ("run.started_at > '31.01.2026'", 18, "write it as '2026-01-31'"),
    ("run.started_at > '2026-1-5'", 18, "write it as '2026-01-31'"),
    ("run.ended_at < 2026", 16, "write it as '2026-01-31'"),
    ("run.started_at = '2026-01-31'", 18, "write like '2026-01-31%'"),
    ("run.started_at in ('2026-01-31')", 20, "write like '2026-01-31%'"),
    ("params.a = 1 params.b = 2", 14, "expected 'and' or 'or' before 'params.b'"),
    ("params.a = 1 and", 17, "expected a field"),
    ("and params.a = 1", 1, "expected a field"),
    ("params.a = 1 && params.b = 1", 14, "write 'and'"),
    ("params.a = 1 || params.b = 1", 14, "write 'or'"),
    ("!params.a = 1", 1, "write '!=' or 'not'"),
    ("(params.a = 1", 1, "a '(' is not closed"),
    ("params.a = 1)", 13, "a ')' without its '('"),
    ("(params.a = 1 1)", 15, "expected 'and', 'or' or ')'"),
    ("()", 2, "expected a field"),
    ("params.a = null", 12, "write 'is null'"),
    ("params.a != None", 13, "write 'is not null'"),
    ("params.a < null", 12, "write 'is null' or a value"),
    ("null = params.a", 1, "expected a field"),
    ("params.a is 5", 13, "expected 'null' or 'nan' after 'is'"),
    ("params.a is not", 16, "expected 'null' or 'nan'"),
    ("params.a not 5", 14, "expected 'in', 'like' or 'between' after 'not'"),
    ("params.a in 5", 13, "expected '(' after 'in'"),
    ("params.a in ()", 14, "expected a value after '('"),
    ("params.a in (1,)", 16, "expected a value after ','"),
    ("params.a in (1 2)", 16, "expected ',' or ')'"),
    ("params.a in (1, 2", 13, "a '(' is not closed"),
    ("params.a in (1, null)", 17, "null is no value"),
    ("params.a in (params.b)", 14, "not a field"),
    ("params.a like 5", 15, "expected text in quotes after 'like'"),
    ("params.a like calm%", 15, "expected text in quotes"),
    ("params.a = %", 12, "patterns are text after 'like'"),
    ("params.a between 1", 19, "expected 'and' and the upper end"),
    ("params.a between 1 and", 23, "expected a value after 'and'"),
    ("params.a = 1.2.3", 12, "'1.2.3' is not a number"),
    ("params.a = 12ab", 12, "'12ab' is not a number"),
    ("params.a = " + "1" * 501, 12, "at most 500 digits"),
    ("params.a = - 1", 12, "unexpected '-'"),
    ("params.a = 1; drop table runs", 13, "unexpected ';'"),
    ("params.a = \ud800", 12, "a lone surrogate"),
    ("params.a = '\0'", 13, "NUL"),
    ("params.a like '" + "a" * 10_001 + "'", 15, "at most 10,000 bytes"),
    ("not ", 5, "expected a field"),
    ("val/loss < 2", 4, "'val/loss' is not a field; write params.val/loss, metrics.val/loss or tags.val/loss"),
    ("acc@top.5 > 1", 4, "write params.acc@top.5"),
    ("run.params.lr = 1", 1, "write params.lr, without 'run.'"),
    ("run.tags.team = 'x'", 1, "write tags.team, without 'run.'"),
    ("run.started_at > '2026-02-30'", 18, "there is no time '2026-02-30' (day is out of range"),
    ("run.ended_at < '2026-13'", 16, "there is no time '2026-13'"),
    ("run.started_at between '2026' and '2026-01-31 24:30'", 35, "there is no time"),
]


@pytest.mark.parametrize(("text", "column", "message"), BAD, ids=lambda value: str(value)[:40])
def test_bad_input_is_refused_at_its_column(text: str, column: int, message: str) -> None:
    with pytest.raises(QuerySyntaxError) as caught:
        compile_filter(text)
    assert message in str(caught.value)
    assert (caught.value.column, caught.value.text) == (column, text)


@pytest.mark.parametrize("text", [None, 5, b"params.a = 1", ["params.a = 1"]])
def test_a_filter_is_text(text: object) -> None:
    with pytest.raises(InvalidTypeError, match="a filter is text, and"):
        parse(text)  # type: ignore[arg-type]


def test_a_tree_is_flat_and_comparable() -> None:
    one = Compare(Field("params", "a"), "=", Value(1))
    assert parse("params.a = 1 and params.a == 1 and params.a=1") == And((one, one, one))
    assert parse("((params.a = 1))") == one


@pytest.mark.parametrize("joint", ["and", "or"])
def test_thousands_of_terms(db: sqlite3.Connection, joint: str) -> None:
    text = f" {joint} ".join(f"metrics.m{n} is null" for n in range(3000))
    assert found(db, text) == "abc"
    assert found(db, f"not ({text})") == ""


def test_thousands_of_values(db: sqlite3.Connection) -> None:
    assert found(db, f"params.n in ({', '.join(map(str, range(1, 25_000)))})") == "ab"


@pytest.mark.parametrize(
    "text",
    [
        " and ".join(["tags.a = 'x'"] * 20_000),
        f"params.a in ({', '.join('1' for _ in range(40_000))})",
        " or ".join(["params.a < params.b"] * 7_000),
    ],
    ids=["terms", "values", "sql"],
)
def test_more_than_sqlite_can_take_is_refused(text: str) -> None:
    with pytest.raises(QuerySyntaxError, match=r"(in|for) one query"):
        compile_filter(text)


def test_length_and_depth_are_limited(db: sqlite3.Connection) -> None:
    with pytest.raises(QuerySyntaxError, match="at most 500,000 characters"):
        compile_filter(" " * (MAX_LENGTH + 1))
    for opening in ("(", "not ", "not("):
        with pytest.raises(QuerySyntaxError, match=f"deeper than {MAX_DEPTH}"):
            compile_filter(opening * 20_000 + "run.id = 'a'")
    assert found(db, "(" * MAX_DEPTH + "run.id = 'a'" + ")" * MAX_DEPTH) == "a"
    assert found(db, "not " * MAX_DEPTH + "run.id = 'a'") == "a"


def test_the_deepest_filter_fits_in_sqlite(db: sqlite3.Connection) -> None:
    text = "params.n != params.flag"
    for depth in range(MAX_DEPTH):
        other = f"metrics.acc.max > metrics.acc.min {'and' if depth % 2 else 'or'} run.duration_s not in (1, 2)"
        text = f"{other} {'or' if depth % 2 else 'and'} ({text})"
    compiled = compile_filter(text)
    nested = f"SELECT id FROM (SELECT id FROM runs WHERE (id IN (SELECT id FROM runs WHERE ({compiled.sql}))))"
    assert db.execute(nested, compiled.values).fetchall() is not None


def test_no_text_of_the_user_is_in_the_sql() -> None:
    text = (
        "params.evil1 = 'evil2' and metrics.`evil3; --`.min > 666 and tags.evil4 in ('evil5', 667) "
        "or run.name like 'evil6%' and not params.a.evil7 between 668 and 'evil8' or params.evil9 is null "
        'or run.id = "evil10\' or 1=1 --" or params.x = 669669669669669669669669 or metrics.evil11 <> tags.evil12'
    )
    compiled = compile_filter(text)
    assert "evil" not in compiled.sql
    assert "66" not in compiled.sql
    assert compiled.sql.count("?") == len(compiled.values)
    order = compile_order(["-params.evil1", "metrics.`evil2; --`.max", "+tags.evil3"])
    assert "evil" not in order.sql
    assert order.sql.count("?") == len(order.values) == 3


def test_a_comparison_is_a_search_by_primary_key(db: sqlite3.Connection) -> None:
    compiled = compile_filter("params.a = 1 and metrics.b > 1 and tags.c = 'x' and params.a < metrics.b")
    plan = " ".join(
        row[3] for row in db.execute(f"EXPLAIN QUERY PLAN SELECT 1 FROM runs WHERE {compiled.sql}", [1] * 8)
    )
    assert plan.count("USING PRIMARY KEY (run=? AND key=?)") == 5
    compiled = compile_filter("run.experiment = 'churn'")
    plan = " ".join(row[3] for row in db.execute(f"EXPLAIN QUERY PLAN SELECT 1 FROM runs WHERE {compiled.sql}", ["x"]))
    assert "runs_by_experiment" in plan


def test_a_view_may_stand_in_for_metrics(db: sqlite3.Connection) -> None:
    db.execute("CREATE TEMP VIEW metrics AS SELECT * FROM main.metrics WHERE run <> 'a' UNION ALL "
               "SELECT 'a', 'live', 1, 0, 2.0, 0, 0, 0, 2.0, 0, 0, 0, 2.0, 0, 2.0, 0, 2.0, 0")  # fmt: skip
    try:
        assert found(db, "metrics.live = 2 or metrics.min = 8") == "ac"
        assert found(db, "metrics.live = params.n or metrics.acc.first > params.lr") == "b"
    finally:
        db.execute("DROP VIEW temp.metrics")


def test_every_run_attribute_is_read(db: sqlite3.Connection) -> None:
    for name in RUN_ATTRIBUTES:
        assert found(db, f"run.{name} is null or run.{name} is not null") == "abc"
        assert f"run.{name}" in FIELDS


def ordered(db: sqlite3.Connection, order: str | list[str] | tuple[str, ...] | None) -> str:
    compiled = compile_order(order)
    return "".join(run for (run,) in db.execute(f"SELECT id FROM runs ORDER BY {compiled.sql}", compiled.values))


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        (None, "cba"),
        ([], "cba"),
        ("run.id", "abc"),
        ("-run.id", "cba"),
        ("metrics.acc", "acb"),
        ("-metrics.acc", "acb"),
        (" - metrics.acc.min", "bac"),
        ("+metrics.acc.min", "abc"),
        ("params.lr", "abc"),
        ("-params.lr", "cba"),
        ("params.odd", "bca"),
        ("-params.n", "bac"),
        ("params.seed", "acb"),
        ("run.experiment", "bac"),
        (["run.experiment", "run.number"], "abc"),
        (("-run.experiment", "-metrics.acc.count"), "cab"),
        ("run.duration_s", "bac"),
        ("-tags.`team`", "bac"),
        ("-metrics.val/loss", "acb"),
        ("metrics.'val/loss'.max", "acb"),
        (["params.0/1e5", "-params.batch-size"], "bca"),
        ("run.group", "cba"),
    ],
)
def test_an_order(db: sqlite3.Connection, order: str | list[str] | tuple[str, ...] | None, expected: str) -> None:
    assert ordered(db, order) == expected


@pytest.mark.parametrize(
    ("order", "column", "message"),
    [
        ("", 1, "expected a field"),
        (" -", 3, "expected a field"),
        ("--run.id", 2, "unexpected '-'"),
        ("-5", 2, "expected a field"),
        ("name", 1, "write run.name"),
        ("-run.nmae", 2, "did you mean run.name"),
        ("params.batch size", 14, "quotes around a name with spaces"),
        ("val/loss", 4, "write params.val/loss, metrics.val/loss"),
        ("metrics.acc desc", 13, "a leading '-' means descending"),
        ("metrics.acc, run.id", 12, "give several fields as a list"),
        ("metrics.acc > 1", 13, "expected nothing after the field"),
        (["run.id", "metrics.`acc"], 9, "a backquote is not closed"),
        (["run.id"] * 51, 1, "at most 50 fields"),
    ],
)
def test_a_bad_order_is_refused_at_its_column(order: str | list[str], column: int, message: str) -> None:
    with pytest.raises(QuerySyntaxError) as caught:
        compile_order(order)
    assert message in str(caught.value)
    assert caught.value.column == column


@pytest.mark.parametrize("order", [5, b"run.id", {"run.id"}, ["run.id", None]])
def test_an_order_is_text(order: object) -> None:
    with pytest.raises(InvalidTypeError, match=r"order_by is (a field as )?text"):
        compile_order(order)  # type: ignore[arg-type]


def test_what_is_compiled_is_a_value() -> None:
    assert compile_filter("run.name = 'x'") == Compiled("(runs.name = ?)", ["x"])
