"""A store whose rows a stranger has written, checksums and all: every command says what is wrong, and none hangs."""

from __future__ import annotations

import contextlib
import json
import random
import shutil
import sqlite3
import warnings
from contextlib import closing

import numpy as np
import pytest
from click.testing import CliRunner

import modelmgmt as mm
from modelmgmt.cli import cli
from modelmgmt.errors import ModelmgmtError
from modelmgmt.store.objects import Objects
from modelmgmt.store.rows import checked_columns, row_crc
from modelmgmt.store.trees import Entry, Tree, Trees

VALUES = [
    None, "", 0, -1, 2**63 - 1, -(2**63), 1.5, float("inf"), "x" * 100_000, "\x1b[31m", "\0", "[]", "{}", "null",
    "[" * 50_000, '{"a": 1}', '["a"]', "../../etc/passwd", "2026-13-45T99:99:99.999999Z", "2026-01-01T00:00:00", "9" * 400,
    b"\xff\xfe", b"",    "é" * 300, "0" * 64, "zz" * 32, "1e999", "true",
]  # fmt: skip
COMMANDS = (
    ["runs"], ["runs", "show", "r0"], ["runs", "compare", "r0", "r1"], ["models"], ["models", "show", "churn:1"],
    ["models", "history", "churn"], ["data", "list"], ["store", "check"], ["runs", "steps", "steps"], ["runs", "env", "r0"],
)  # fmt: skip
READ = (
    "params", "config", "tags", "notes", "summaries", "metrics", "artifacts", "datasets", "steps", "code", "status",
    "error",
)  # fmt: skip


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    """A store with some of everything."""
    linear_model = pytest.importorskip("sklearn.linear_model")
    path = tmp_path_factory.mktemp("rows") / "store"
    table = {"a": np.array([1.0, 2.0, 3.0, 4.0]), "b": np.array([0, 1, 0, 1])}
    data = np.column_stack(list(table.values()))

    @mm.step
    def double(x):
        return x * 2

    with mm.Store(path) as store:
        for number in range(2):
            params = {"lr": 0.1, "net": {"layers": [1, 2]}}
            with store.start_run("rows", name=f"r{number}", params=params, tags={"team": "x"}) as run:
                run.log_series("loss", range(50))
                run.log(acc=0.5)
                run.log_text("hello", "text.txt")
                run.log_dict({"a": 1}, "d.json")
                run.log_table({"a": [1]}, "t")
                run.note("a note")
                run.log_dataset(table, "train")
                model = linear_model.LogisticRegression().fit(data, [0, 1, 0, 1])
                run.log_model(model, "clf", input_example=data, register_as="churn")
        with store.start_run("rows", name="steps"):
            double(3)
        store.models["churn"][1].promote("production", reason="good")
        store.pin("r0", "kept")
    with mm.Store(path.parent / "other") as other:
        other.start_run(name="another").finish()
    return path


def calls(path, monkeypatch):
    """What people do with a store, one after the other. Each takes its errors of the library for an answer."""
    store = mm.Store(path)
    monkeypatch.setenv("MODELMGMT_STORE", str(path))
    yield lambda: store.runs().to_frame()
    yield lambda: store.runs()._repr_html_()
    for name in ("r0", "r1", "steps"):
        for what in READ:
            yield lambda name=name, what=what: repr(getattr(store.runs[name], what))
        yield lambda name=name: store.runs[name].series("loss").values
        yield lambda name=name: store.runs[name]._repr_html_()
        for artifact in ("text.txt", "d.json", "t.json"):
            yield lambda name=name, artifact=artifact: store.runs[name].artifact(artifact).load()
    yield lambda: repr(store.datasets["train"])
    yield lambda: mm.load_model("churn:1")
    yield lambda: [repr(model) for model in store.models]
    yield lambda: repr(store.models["churn"].history())
    yield lambda: str(store.models["churn"][1].card())
    yield lambda: store.models["churn"].current("production")
    yield lambda: store.lineage("churn:1")
    yield store.audit.verify
    yield lambda: repr(store.stats())
    yield lambda: store.check(deep=True)
    for words in COMMANDS:
        yield lambda words=words: command("--store", str(path), *words)
    yield lambda: store.gc(grace_s=0)
    yield lambda: store.runs["r1"].set_tags(a="b")
    yield lambda: store.start_run("rows").finish()
    yield lambda: store.merge(path.parent / "other")
    yield lambda: mm.Store(path.parent / "into").merge(path)
    yield lambda: store.backup(path.parent / "backup")
    yield store.redact
    yield lambda: store.delete_run("r1")
    yield store.repair
    yield store.close


def command(*words):
    done = CliRunner().invoke(cli, list(words))
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception


def put(path, chance):
    """Put a value where it does not belong; what was put where, or None where SQLite does not take it."""
    with closing(sqlite3.connect(path / "store.db")) as connection:
        tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        filled = [name for name in tables if connection.execute(f"SELECT 1 FROM {name} LIMIT 1").fetchone()]
        table = chance.choice(filled)
        columns = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
        column, value = chance.choice(columns), chance.choice(VALUES)
        with_checksum = chance.random() < 0.7 and column != "crc" and "crc" in columns
        rows = [list(row) for row in connection.execute(f"SELECT * FROM {table}")]
        for row in rows if chance.random() < 0.3 else rows[:1]:
            row[columns.index(column)] = value
            if with_checksum:
                covered = [columns.index(name) for name in checked_columns(table, columns)[:-1]]
                row[columns.index("crc")] = row_crc(table, [row[place] for place in covered])
        connection.execute("PRAGMA ignore_check_constraints = 1")
        try:
            connection.execute(f"DELETE FROM {table}")
            connection.executemany(f"INSERT INTO {table} VALUES ({', '.join('?' * len(columns))})", rows)
        except (sqlite3.Error, OverflowError):  # a strict type, a key that must be one
            return None
        connection.commit()
    return f"{table}.{column} = {str(value)[:40]!r}, {'with' if with_checksum else 'without'} its checksum"


def put_object(path, chance):
    """Put an object of another content in the place of one, and name it with the right digest, size and checksums."""
    with closing(sqlite3.connect(path / "store.db")) as connection:
        tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        named = [
            (table, column, row, columns)
            for table in tables
            for columns in [[found[1] for found in connection.execute(f"PRAGMA table_info({table})")]]
            for column in columns
            if column == "digest" or column.endswith("_digest")
            for row in connection.execute(f"SELECT * FROM {table} WHERE {column} IS NOT NULL")
        ]
        table, column, row, columns = chance.choice(named)
        digest = row[columns.index(column)]
        objects = Objects(path)
        inner, place = digest, None
        with contextlib.suppress(ModelmgmtError):  # of what is no tree
            tree = Trees(objects).get(digest)
            if chance.random() < 0.6:
                place = chance.choice([*tree])
                inner = tree[place].digest
        data = changed(objects.get(inner), chance)
        new = objects.put_bytes(data)
        if place is not None:
            tree = Tree({**tree, place: Entry(new.digest, len(data))})
            new = objects.put_bytes(tree.encode())
        values = [new.digest if name == column else value for name, value in zip(columns, row, strict=True)]
        if "crc" in columns:
            covered = [columns.index(name) for name in checked_columns(table, columns)[:-1]]
            values[columns.index("crc")] = row_crc(table, [values[at] for at in covered])
        connection.execute("PRAGMA ignore_check_constraints = 1")
        where = " AND ".join(f"{name} IS ?" for name in columns)
        connection.execute(f"DELETE FROM {table} WHERE {where}", row)
        connection.execute(f"INSERT INTO {table} VALUES ({', '.join('?' * len(columns))})", values)
        connection.commit()
    return f"{table}.{column} {place or ''} = {data[:200]!r}"


def changed(data, chance):
    """The content with something else in it: in JSON another value somewhere, else other bytes."""
    if chance.random() < 0.2:
        return chance.choice([b"", b"{}", b"[]", b"null", b"[" * 50_000, data[: len(data) // 2], chance.randbytes(100)])
    try:
        content = json.loads(data)
    except ValueError:
        at = chance.randrange(max(1, len(data)))
        return data[:at] + chance.randbytes(8) + data[at + 8 :]
    spots = []
    todo = [content]
    while todo:
        node = todo.pop()
        keys = list(node) if isinstance(node, dict) else range(len(node)) if isinstance(node, list) else []
        for key in keys:
            spots.append((node, key))
            todo.append(node[key])
    if spots:
        node, key = chance.choice(spots)
        if chance.random() < 0.3 and isinstance(node, dict):
            del node[key]
        else:
            node[key] = chance.choice(
                [*(value for value in VALUES if not isinstance(value, bytes)), [], {}, [None], {"a": 1}]
            )
    compact = (
        {"separators": (",", ":"), "sort_keys": True, "ensure_ascii": False} if b": " not in data else {"indent": 2}
    )
    return json.dumps(content, **compact).encode("utf-8", "surrogatepass")


@pytest.mark.parametrize("change", [put, put_object])
@pytest.mark.parametrize("seed", [*range(10), *(pytest.param(seed, marks=pytest.mark.long) for seed in range(10, 600))])
def test_a_row_of_a_stranger_is_an_error_of_the_library(template, tmp_path, monkeypatch, seed, change):
    chance = random.Random(seed)
    path = tmp_path / "store"
    shutil.copytree(template.parent / "other", tmp_path / "other")
    what = None
    while what is None:
        shutil.rmtree(path, ignore_errors=True)
        shutil.copytree(template, path)
        what = change(path, chance)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with contextlib.suppress(ModelmgmtError):  # of opening it
            for number, call in enumerate(calls(path, monkeypatch)):
                try:
                    call()
                except ModelmgmtError:
                    continue
                except Exception as error:
                    error.add_note(f"{what}; call {number}")
                    raise
