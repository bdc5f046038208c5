"""The list of bad input: each is refused by an error that says what was asked, found and to be done; nothing is kept."""

from __future__ import annotations

import math
import re
import sqlite3

import numpy as np
import pytest

import modelmgmt as mm
from modelmgmt import errors
from modelmgmt.store.database import SCHEMA_VERSION
from modelmgmt.versions import capture

NAMES = {
    "empty": ("", "empty"),
    "space": (" ", "whitespace"),
    "NUL": ("a\0b", "U[+]0000"),
    "dots": ("..", r"'\.\.'|\"\.\.\""),
    "dots inside": ("a/../b", r"\.\."),
    "newline": ("a\nb", "U[+]000A"),
    "10,000 characters": ("x" * 10_000, "longer than"),
    "surrogate": ("\ud800", "surrogate"),
    "right to left": ("a\u202eb", "U[+]202E"),
}
TYPES = {"number": 3, "bytes": b"a", "list": ["a"], "object": object()}

GIVES_A_NAME = {
    "experiment": lambda run, store, name: store.start_run(name),
    "run": lambda run, store, name: store.start_run(name=name),
    "group": lambda run, store, name: store.start_run(group=name),
    "param at the start": lambda run, store, name: store.start_run(params={name: 1}),
    "tag at the start": lambda run, store, name: store.start_run(tags={name: "x"}),
    "metric": lambda run, store, name: run.log({name: 1}),
    "series": lambda run, store, name: run.log_series(name, [1]),
    "param": lambda run, store, name: run.log_params({"good": 1, name: 1}),
    "tag": lambda run, store, name: run.set_tags({"good": "1", name: "1"}),
    "tag to remove": lambda run, store, name: run.remove_tag(name),
    "artifact": lambda run, store, name: run.log_artifact(b"x", name),
    "text": lambda run, store, name: run.log_text("x", name),
    "dict": lambda run, store, name: run.log_dict({}, name),
    "table": lambda run, store, name: run.log_table({"a": [1]}, name),
    "image": lambda run, store, name: run.log_image(np.zeros((2, 2)), name),
}


def cyclic():
    params = {"a": {}}
    params["a"]["b"] = params
    return params


VALUES = {
    "metric: text": (lambda run, store: run.log(x="0.5"), errors.InvalidTypeError, "'x'.*str.*log_text"),
    "metric: complex": (lambda run, store: run.log(x=1 + 2j), errors.InvalidTypeError, "complex.*two metrics"),
    "metric: None": (lambda run, store: run.log(x=None), errors.InvalidTypeError, "'x'.*NoneType"),
    "metric: array": (lambda run, store: run.log(x=np.ones(3)), errors.InvalidTypeError, r"shape \(3,\).*log_series"),
    "metric: huge": (lambda run, store: run.log(x=10**999), errors.InvalidValueError, "too large.*scale"),
    "metrics: text": (lambda run, store: run.log("loss"), errors.InvalidTypeError, "mapping.*str.*pass a dict"),
    "step: NaN": (lambda run, store: run.log({"x": 1}, step=math.nan), errors.InvalidTypeError, "integer.*float.*int"),
    "step: infinite": (lambda run, store: run.log({"x": 1}, step=math.inf), errors.InvalidTypeError, "integer.*inf"),
    "step: float": (lambda run, store: run.log({"x": 1}, step=1.5), errors.InvalidTypeError, "1.5.*epoch"),
    "step: text": (lambda run, store: run.log({"x": 1}, step="7"), errors.InvalidTypeError, "'7'.*str"),
    "step: too large": (lambda run, store: run.log({"x": 1}, step=2**63), errors.InvalidValueError, "64 bits.*smaller"),
    "series: complex": (lambda run, store: run.log_series("x", [1j]), errors.InvalidTypeError, "complex.*two metrics"),
    "series: steps": (lambda run, store: run.log_series("x", [1], [0.5]), errors.InvalidTypeError, "integer.*float"),
    "series: lengths": (lambda run, store: run.log_series("x", [1], [1, 2]), errors.InvalidValueError, "1 value.*2"),
    "series: matrix": (lambda run, store: run.log_series("x", np.ones((2, 2))), errors.InvalidValueError, "one dim"),
    "params: cycle": (lambda run, store: run.log_params(cyclic()), errors.InvalidValueError, "'a.b'.*remove the cycle"),
    "params: list": (lambda run, store: run.log_params([1]), errors.InvalidTypeError, "mapping.*list.*pass a dict"),
    "params: object": (lambda run, store: run.log_params(x=object()), errors.InvalidTypeError, "'x'.*object: pass str"),
    "params: complex": (lambda run, store: run.log_params(x=1j), errors.InvalidTypeError, "complex"),
    "params: at the start": (lambda run, store: store.start_run(params=cyclic()), errors.InvalidValueError, "cycle"),
    "params: another": (lambda run, store: run.log_params(good=1, lr=0.2), errors.ParamConflictError, "0.1.*0.2.*overwrite"),
    "tags: list": (lambda run, store: run.set_tags(["a"]), errors.InvalidTypeError, "mapping.*list"),
    "tags: None": (lambda run, store: run.set_tags(good="1", x=None), errors.InvalidTypeError, "'x'.*NoneType.*text"),
    "note: number": (lambda run, store: run.note(3), errors.InvalidTypeError, "text.*int.*str"),
    "artifact: number": (lambda run, store: run.log_artifact(3, "x"), errors.InvalidTypeError, "path or bytes.*int"),
    "artifact: bytes": (lambda run, store: run.log_artifact(b"x"), errors.InvalidTypeError, "name"),
    "text: bytes": (lambda run, store: run.log_text(b"x", "x"), errors.InvalidTypeError, "str.*bytes"),
    "dict: text": (lambda run, store: run.log_dict("x", "x"), errors.InvalidTypeError, "mapping.*str"),
    "table: text": (lambda run, store: run.log_table("x", "x"), errors.InvalidTypeError, "DataFrame.*str"),
    "image: text": (lambda run, store: run.log_image("x", "x"), errors.InvalidTypeError, "array.*str"),
    "figure: text": (lambda run, store: run.log_figure("x", "x"), errors.InvalidTypeError, "matplotlib.*str"),
    "end": (lambda run, store: run.finish("done"), errors.InvalidValueError, "'finished'.*'done'"),
    "resume: nobody": (lambda run, store: store.start_run(resume="nobody"), errors.NotFoundError, "'nobody'.*modelmgmt runs"),
    "resume: number": (lambda run, store: store.start_run(resume=3), errors.InvalidTypeError, "id or name.*int"),
    "parent: nobody": (lambda run, store: store.start_run(parent="nobody"), errors.NotFoundError, "'nobody'"),
    "parent: number": (lambda run, store: store.start_run(parent=3), errors.InvalidTypeError, "parent.*int"),
    "on_error": (lambda run, store: store.start_run(on_error="?"), errors.InvalidValueError, "'warn' or 'raise'.*'?'"),
    "run: nobody": (lambda run, store: store.runs["nobody"], errors.NotFoundError, "'nobody'.*modelmgmt runs"),
    "filter": (lambda run, store: store.runs("params.lr >"), errors.QuerySyntaxError, r"column 12\n.*\n.*\^"),
    "limit": (lambda run, store: store.runs(limit=-1), errors.InvalidValueError, "limit.*-1"),
    "compare": (lambda run, store: store.compare(run), errors.InvalidValueError, "two.*1 was given"),
    "no such metric": (lambda run, store: run.series("nothing"), errors.NotFoundError, "'nothing'.*it has: kept"),
    "no such artifact": (lambda run, store: run.artifact("nothing"), errors.NotFoundError, "'nothing'.*it has: none"),
}  # fmt: skip


@pytest.fixture
def run(store):
    run = store.start_run(params={"lr": 0.1})
    run.log(kept=1)
    run._kernel.fold()
    return run


def everything(store):
    """What is in the store: the count of rows of every table, of points in journals, of objects."""
    capture.of(store._kernel).settle()  # what the runs so far are made of is kept in the background
    with store._kernel.series.snapshot() as snapshot:
        tables = [
            name for (name,) in snapshot.connection.execute("SELECT name FROM main.sqlite_schema WHERE type = 'table'")
        ]
        rows = {name: snapshot.connection.execute(f"SELECT count(*) FROM main.{name}").fetchone()[0] for name in tables}
        tails = {key: len(points.steps) for key, points in snapshot.tails.items()}
    return rows, tails, sorted((store.path / "objects").rglob("*"))


def refused(action, error, words, store):
    before = everything(store)
    with pytest.raises(error) as caught:
        action()
    message = str(caught.value)
    assert isinstance(caught.value, errors.ModelmgmtError)
    assert isinstance(caught.value, next(base for base in error.__mro__ if base.__module__ == "builtins"))
    assert re.search(words, message, re.DOTALL), message
    assert len(message) < 1_000, "a name of 10,000 characters is not repeated"
    assert everything(store) == before


@pytest.mark.parametrize("what", GIVES_A_NAME)
@pytest.mark.parametrize("name", NAMES)
def test_names(run, store, what, name):
    text, words = NAMES[name]
    refused(lambda: GIVES_A_NAME[what](run, store, text), errors.InvalidNameError, words, store)


@pytest.mark.parametrize("what", GIVES_A_NAME)
@pytest.mark.parametrize("kind", TYPES)
def test_names_of_another_type(run, store, what, kind):
    value = TYPES[kind]
    if what in ("param", "param at the start") and kind == "number":
        pytest.skip("numbers name params")
    if kind == "list" and ("start" in what or what in ("metric", "param", "tag")):
        pytest.skip("lists are in no mapping")
    words = f"{type(value).__name__}"
    refused(lambda: GIVES_A_NAME[what](run, store, value), errors.InvalidTypeError, words, store)


@pytest.mark.parametrize("what", VALUES)
def test_values(run, store, what):
    action, error, words = VALUES[what]
    refused(lambda: action(run, store), error, words, store)
    run.log(kept=2)
    assert run.series("kept").values.tolist() == [1, 2], "the run is still good"


@pytest.mark.parametrize(
    "write",
    [
        lambda run: run.log(a=1),
        lambda run: run.log_series("a", [1]),
        lambda run: run.log_params(a=1),
        lambda run: run.flush(),
        lambda run: run.__enter__(),
    ],
)
def test_a_run_that_has_ended(run, store, write):
    run.finish()
    refused(lambda: write(run), errors.RunFinishedError, rf"has ended \(finished\).*resume='{run.id}'", store)
    reader = store.runs[run.id]
    refused(lambda: write(reader), errors.RunFinishedError, "has ended", store)


# -- the path of a store ----------------------------------------------------------------------------------------------


def a_file(place):
    place.write_text("mine")


def below_a_file(place):
    place.parent.rmdir()
    place.parent.write_text("mine")


def a_folder_of_other_things(place):
    place.mkdir()
    (place / "thesis.tex").write_text("mine")


def no_database(place):
    place.mkdir()
    (place / "store.db").write_text("this is no database, " * 100)


def a_database_of_something_else(place):
    place.mkdir()
    with sqlite3.connect(place / "store.db") as connection:
        connection.execute("CREATE TABLE mine (a)")
    connection.close()


def another_application(place):
    place.mkdir()
    with sqlite3.connect(place / "store.db") as connection:
        connection.execute("PRAGMA application_id = 7")
    connection.close()


def a_newer_store(place):
    with mm.Store(place) as store:
        store.start_run().finish()
    with sqlite3.connect(place / "store.db") as connection:
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
        connection.execute("INSERT INTO _schema_steps VALUES (?, '')", (SCHEMA_VERSION + 1,))
    connection.close()


PLACES = {
    a_file: (errors.StorePathError, "is a file.*choose another path"),
    below_a_file: (errors.StorePathError, "part of .* is a file.*choose another path"),
    a_folder_of_other_things: (errors.StorePathError, "other files.*thesis.tex.*choose"),
    no_database: (errors.StorePathError, "not a modelmgmt store.*Choose another folder"),
    a_database_of_something_else: (errors.StorePathError, "another program.*Choose another folder"),
    another_application: (errors.StorePathError, "application id 0x7.*Choose another folder"),
    a_newer_store: (errors.StoreTooNewError, f"newer modelmgmt.*version {SCHEMA_VERSION + 1}.*upgrade"),
}


def contents(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.name != ".gitignore"}


@pytest.mark.parametrize("make", PLACES, ids=lambda make: make.__name__)
def test_places_that_are_no_store(tmp_path, make):
    (tmp_path / "deep").mkdir()
    place = tmp_path / "deep" / "place"
    make(place)
    before = contents(tmp_path)
    error, words = PLACES[make]
    for path in (place, str(place)):
        with pytest.raises(error, match=words) as caught:
            mm.start_run(store=path)
        assert isinstance(caught.value, OSError)
        assert str(place) in str(caught.value) or str(place.parent) in str(caught.value)
    assert contents(tmp_path) == before, "nothing was changed"


@pytest.mark.parametrize("path", ["", "a\0b", "x" * 10_000, "\ud800", "~nobody-of-that-name/store"],
                         ids=["empty", "NUL", "long", "surrogate", "nobody"])  # fmt: skip
def test_paths_that_are_none(tmp_path, path):
    with pytest.raises(errors.StorePathError, match=r"path") as caught:
        mm.Store(path)
    assert len(str(caught.value)) < 500
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("path", [3, b"store", ["store"], object()], ids=["number", "bytes", "list", "object"])
def test_paths_of_another_type(tmp_path, path):
    with pytest.raises(errors.InvalidTypeError, match=f"str or Path.*{type(path).__name__}"):
        mm.start_run(store=path)
    assert list(tmp_path.iterdir()) == []
