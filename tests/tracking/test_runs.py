"""Many runs at once: in the order that was asked for, as typed frames, with every point exact."""

from __future__ import annotations

import datetime as dt
import math

import numpy as np
import pandas as pd
import pytest

import modelmgmt as mm
from modelmgmt.errors import InvalidTypeError, InvalidValueError, NotFoundError, QuerySyntaxError


@pytest.fixture
def runs(store):
    for number in range(5):
        mixed = [1, "x", None, 2.5, True][number]
        params = {"n": number, "rate": number / 2, "flag": number % 2 == 0, "name": f"r{number}", "mixed": mixed}
        if number != 3:
            params |= {"some": number, "maybe": True, "part": 0.5}
        tags = {"parity": ["even", "odd"][number % 2]}
        with store.start_run("many", name=f"run-{number}", params=params, tags=tags) as run:
            run.log(x=number, y=math.nan if number == 2 else -number)
    return store.runs(order_by="params.n")


def test_the_newest_comes_first_unless_asked(store, runs):
    assert [run.name for run in store.runs()] == ["run-4", "run-3", "run-2", "run-1", "run-0"]
    assert [run.name for run in store.runs(order_by="-metrics.x")] == ["run-4", "run-3", "run-2", "run-1", "run-0"]
    assert [run.name for run in store.runs(order_by=["tags.parity", "-params.n"])] == [
        "run-4", "run-2", "run-0", "run-3", "run-1",
    ]  # fmt: skip
    assert [run.name for run in store.runs("params.n in (1, 3)", order_by="params.n", limit=1)] == ["run-1"]


def test_an_order_by_what_no_run_has_warns(store, runs):
    with pytest.warns(UserWarning, match=r"No run has metrics\.xx: there are x\. It does not sort the runs") as found:
        named = store.runs(order_by=["-metrics.xx.max", "params.n"])
    assert found[0].filename == __file__
    assert [run.name for run in named] == ["run-0", "run-1", "run-2", "run-3", "run-4"]
    assert named.unknown == ("No run has metrics.xx: there are x.",)
    assert store.runs(order_by="run.name").unknown == ()
    assert store.runs("params.n > 100 and tags.part = 'a'", order_by="-tags.parit").unknown == (
        "No run has tags.part: there are parity.",
        "No run has tags.parit: there are parity.",
    )
    assert store.runs("params.nn is null").unknown == ()  # an answer, and a right one
    assert "No run has tags.part: there are parity." in repr(store.runs("tags.part = 'a'"))


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("params.name = 'R1'", "No run has params.name = 'R1'; there are: r0, r1, r2, r3, r4. Did you mean 'r1'?"),
        ("tags.parity in ('evn', 'odd') and params.n = 9", "No run has tags.parity = 'evn'; there are: even, odd."),
        ("run.name = 'run4'", "No run has run.name = 'run4'; there are: run-0, run-1, run-2, run-3, run-4."),
        ("params.name > 2", "params.name is a number in no run, so that none compares with 2; there are: r0, r1"),
        ("params.rate between 'a' and 'z'", "params.rate is text in no run, so that none compares with 'a'."),
        ("'x' = params.flag", "params.flag is text in no run, so that none compares with 'x'."),
    ],
)
def test_a_filter_that_can_find_nothing_says_why(store, runs, text, sentence):
    assert any(found.startswith(sentence) for found in store.runs(text).unknown), store.runs(text).unknown


@pytest.mark.parametrize("text", ["params.n = '77'", "params.mixed = 3", "params.name like 'q%'", "params.flag = 'x'"])
def test_a_filter_whose_answer_is_no_says_nothing_of_values(store, runs, text):
    expected = 1 if text == "params.flag = 'x'" else 0
    assert len(store.runs(text).unknown) == expected


def test_a_name_that_is_in_the_journal_alone_is_known(store):
    with store.start_run("many") as run:
        run.log(late=1)
        assert store.runs(order_by="-metrics.late").unknown == ()


def test_an_order_in_an_empty_store_warns_of_nothing(store):
    assert store.runs(order_by="metrics.loss").unknown == ("No run has metrics.loss: there are none.",)


def test_a_sequence(store, runs):
    assert len(runs) == 5
    assert runs[0].name == "run-0"
    assert runs[-1].name == "run-4"
    assert [run.name for run in runs[1:3]] == ["run-1", "run-2"]
    assert [run.name for run in runs[::-2]] == ["run-4", "run-2", "run-0"]
    assert isinstance(runs[1:3], mm.Runs)
    assert isinstance(runs[0], mm.Run)
    assert runs.ids == [run.id for run in runs]
    assert runs[1] in runs
    assert runs.metric_keys() == ["x", "y"]
    assert runs[2:2].to_frame().empty
    with pytest.raises(IndexError):
        runs[5]
    with pytest.raises(InvalidTypeError, match="by name or id"):
        runs["run-1"]


def test_the_frame_is_typed(runs):
    frame = runs.to_frame()
    assert frame.index.tolist() == runs.ids
    assert frame.index.name == "run"
    assert frame["name"].tolist() == [f"run-{number}" for number in range(5)]
    dtypes = {name: str(dtype) for name, dtype in frame.dtypes.items()}
    assert dtypes == {
        "name": "object", "experiment": "object", "status": "object", "started_at": "datetime64[us, UTC]",
        "duration_s": "float64", "group": "object", "parent": "object", "diverged": "object", "params.flag": "bool",
        "params.maybe": "boolean", "params.mixed": "object", "params.n": "int64", "params.name": "object",
        "params.part": "float64", "params.rate": "float64", "params.some": "Int64", "metrics.x": "float64",
        "metrics.y": "float64", "tags.parity": "object",
    }  # fmt: skip
    assert frame["params.mixed"].tolist() == [1, "x", None, 2.5, True]
    assert [type(value) for value in frame["params.mixed"]] == [int, str, type(None), float, bool]
    assert frame["params.some"].tolist() == [0, 1, 2, pd.NA, 4]
    assert frame["metrics.y"].tolist()[:2] == [0, -1]
    assert math.isnan(frame["metrics.y"].iloc[2])
    assert frame["started_at"].tolist() == [run.started_at for run in runs]


def test_integers_that_no_column_holds_stay_what_they_are(store):
    for value in (1, 2**80):
        store.start_run(params={"seed": value}).finish()
    assert store.runs(order_by="run.number").to_frame()["params.seed"].tolist() == [1, 2**80]


def test_nobody(store):
    runs = store.runs("params.n > 3")
    assert len(runs) == 0
    assert list(runs) == []
    assert runs.to_frame().shape == (0, 8)
    assert runs.history("x").shape == (0, 5)
    assert runs.history("x").dtypes["time"] == "datetime64[us, UTC]"
    assert runs.summaries("x") == []
    assert "no runs" in repr(runs).lower()


def test_the_history_of_what_none_has_is_refused_with_what_there_is(store, runs):
    with pytest.raises(NotFoundError, match=r"None of these 5 runs has the metric 'xx'; they have: x, y\."):
        store.runs().history("xx")
    some = store.start_run("more")
    some.log(late=1.0)
    assert len(store.runs().history("late")) == 1  # of one run, and not folded yet
    some.finish()
    with pytest.raises(NotFoundError, match="None of these 5 runs"):
        store.runs("params.n >= 0").history("late")


def test_summaries_of_many_runs(store, runs):
    with store.start_run("more") as run:
        run.log(late=1.0)
    assert [summary.last for summary in runs.summaries("x")] == [0, 1, 2, 3, 4]
    assert [summary is None for summary in store.runs().summaries("late")] == [False, True, True, True, True, True]
    with pytest.raises(NotFoundError, match=r"None of these 5 runs has the metric 'lates'; they have: x, y\."):
        runs.summaries("lates")
    with pytest.raises(NotFoundError, match=r"they have: late, x, y\. Did you mean 'late'\?"):
        store.runs().summaries("lates")


@pytest.mark.parametrize("name", [5, None, 1.5])
def test_what_is_no_text_is_the_name_of_nothing(store, runs, name):
    run = store.runs()[0]
    for ask in (lambda: store.runs().groupby(name), lambda: run.series(name), lambda: run.artifact(name)):
        with pytest.raises(NotFoundError):
            ask()


def test_the_filter_that_an_error_proposes_finds_the_runs(store):
    store.start_run("it's").finish()
    with pytest.raises(NotFoundError, match="is an experiment") as error:
        store.runs["it's"]
    assert len(store.runs(str(error.value).split('"')[-2])) == 1


def test_the_history_is_what_was_logged(store):
    rng = np.random.default_rng(0)
    expected = []
    for number in range(3):
        run = store.start_run(name=f"r{number}")
        steps, values = rng.permutation(2_000)[: 100 + 900 * number], rng.normal(size=100 + 900 * number)
        values[7] = math.nan
        half = len(steps) // 2
        for step, value in zip(steps[:half].tolist(), values[:half].tolist(), strict=True):
            run.log({"loss": value, "other": 1}, step=step)
        run.log_series("loss", values[half:], steps[half:])
        if number == 1:
            run.finish()
        expected += [(run.id, run.name, *point) for point in sorted(zip(steps.tolist(), values.tolist(), strict=True))]
    store.start_run(name="without").finish()
    frame = store.runs(order_by="run.number").history("loss")
    assert frame.columns.tolist() == ["run", "name", "step", "value", "time"]
    assert [str(dtype) for dtype in frame.dtypes[2:]] == ["int64", "float64", "datetime64[us, UTC]"]
    assert frame["run"].tolist() == [row[0] for row in expected]
    assert frame["name"].tolist() == [row[1] for row in expected]
    assert frame["step"].tolist() == [row[2] for row in expected]
    assert frame["value"].to_numpy().tobytes() == np.array([row[3] for row in expected]).tobytes()
    assert (frame["time"] <= dt.datetime.now(dt.UTC)).all()
    assert store.runs(order_by="-run.number").history("loss")["name"].unique().tolist() == ["r2", "r1", "r0"]


def test_a_live_run_is_found_by_what_it_logged_last(store):
    with store.start_run() as run:
        for value in range(10):
            run.log(x=value)
            assert store.runs(f"metrics.x = {value} and metrics.x.count = {value + 1}").ids == [run.id]
        assert store.runs().to_frame()["metrics.x"].tolist() == [9]
        assert store.runs().history("x")["value"].tolist() == list(range(10))
        assert math.isnan(store.runs().to_frame()["duration_s"].iloc[0])


def test_two_thousand_runs(store):
    for number in range(2_000):
        run = store.start_run("many", params={"n": number})
        run.log_series("x", [number, number + 1])
        run.finish()
    runs = store.runs("params.n >= 500", order_by="-params.n")
    assert len(runs) == 1_500
    frame = runs.to_frame()
    assert frame["params.n"].tolist() == list(range(1_999, 499, -1))
    assert frame["metrics.x"].tolist() == list(range(2_000, 500, -1))
    history = runs.history("x")
    assert len(history) == 3_000
    assert history["run"].iloc[::2].tolist() == runs.ids
    assert runs.metric_keys() == ["x"]
    assert "1,500" in repr(runs)
    assert "1,500" in runs._repr_html_()


def test_they_show_themselves(store, runs):
    for text in (repr(runs), runs._repr_html_()):
        assert "run-0" in text
        assert "finished" in text
    html = runs[0]._repr_html_()
    assert "run-0" in html
    assert "<table" in html
    store.start_run(name="<script>alert(1)</script>", params={"<b>": "<i>"}).finish()
    assert "<script>alert" not in store.runs()._repr_html_()
    assert "<i>" not in store.runs()[0]._repr_html_()


@pytest.mark.parametrize("limit", [-1, 1.5, "3", True])
def test_a_limit_that_is_none(store, limit):
    with pytest.raises(InvalidValueError, match="limit"):
        store.runs(limit=limit)


def test_questions_that_are_none(store, runs):
    with pytest.raises(QuerySyntaxError, match="column"):
        store.runs("params.n >")
    with pytest.raises((InvalidTypeError, QuerySyntaxError)):
        store.runs(3)
    with pytest.raises((InvalidTypeError, QuerySyntaxError)):
        store.runs(order_by=3)
    with pytest.raises(NotFoundError, match="None of these"):
        runs.history("")
    with pytest.raises(InvalidTypeError):
        runs.history(3)


def test_one_run_by_what_people_remember(store, runs):
    run = runs[2]
    for reference in (run.id, run.name, run.id[:-1], run.id[1:]):
        assert store.runs[reference] == run
    for reference in ("", "%", "_", "run", "nothing"):
        with pytest.raises(KeyError):
            store.runs[reference]
    assert store.runs[2] == run, "by its place, newest first"
    with pytest.raises(InvalidTypeError):
        store.runs[3.5]


def test_the_database_is_there_to_explore_and_not_to_write(store, runs):
    database = store.db
    assert database["runs"].count == 5
    assert {row["name"] for row in database["run_overview"].rows} == {run.name for run in runs}
    with pytest.raises(Exception, match="readonly"):
        database["runs"].delete_where("1 = 1")
    database.close()
