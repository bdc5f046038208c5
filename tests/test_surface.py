"""What users hold shows what is theirs, and nothing of how it is made."""

from __future__ import annotations

import inspect

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression

import modelmgmt as mm
from modelmgmt import errors

FRAME = pd.DataFrame({"age": [25.0, 41.0, 37.0, 62.0], "leaves": [0, 0, 1, 1]})
X, Y = FRAME[["age"]], FRAME["leaves"]


@pytest.fixture
def held(tmp_path, monkeypatch):
    """One of everything that a user gets into the hands."""
    monkeypatch.chdir(tmp_path)
    store = mm.Store("store")
    with store.start_run("churn", params={"lr": 0.1}, name="first") as run:
        run.log(loss=0.5)
        run.note("a note")
        run.log_text("text", "text.txt")
        dataset = run.log_dataset(FRAME, "train", keep=True)
        model = LogisticRegression().fit(X, Y)
        logged = run.log_model(model, "classifier", input_example=X, register_as="churn")
    churn = store.models["churn"]
    churn.promote(1, "production", reason="the first")
    monitor = store.monitor("churn@production")
    batch = monitor.log(X, model.predict(X), ids=["a", "b", "c", "d"])
    return {
        "store": store, "run": run, "runs": store.runs(), "all runs": store.runs, "dataset": dataset,
        "datasets": store.datasets, "profile": dataset.profile, "models": store.models, "model": churn,
        "version": churn[1], "logged": logged, "package": logged.package, "signature": logged.signature,
        "loaded": mm.load_model("churn:1", store=store), "monitor": monitor, "batch": batch,
        "predictions": monitor.predictions(), "prediction": store.predictions["a"], "all predictions": store.predictions,
        "lineage": store.lineage("churn:1"), "audit": store.audit, "code": run.code, "environment": run.environment,
        "artifact": run.artifact("text.txt"), "series": run.series("loss"), "moment": churn.as_of(),
        "decision": churn.history()[0], "note": run.notes[0], "stats": store.stats(), "library": mm, "plots": mm.plots,
        "report": mm.report, "errors": errors,
    }  # fmt: skip


INTERNAL = {
    "kernel", "record", "records", "row", "captured", "disown", "open", "restart_with", "resumed_code", "query", "pick",
    "created", "lost", "of", "encode", "decode", "blocks", "run_records", "annotations", "TYPE_CHECKING", "Path", "os",
}  # fmt: skip


def test_nothing_internal_is_shown(held):
    allowed = {("monitor", "lost"), ("lineage", "of")}
    found = {(what, name) for what, thing in held.items() for name in dir(thing) if name in INTERNAL}
    assert found <= allowed


@pytest.mark.parametrize("module", [mm, mm.plots, mm.report, mm.errors], ids=lambda module: module.__name__)
def test_a_module_shows_exactly_its_names(module):
    assert {name for name in dir(module) if not name.startswith("_")} == set(module.__all__)
    for name in module.__all__:
        value = getattr(module, name)
        assert inspect.ismodule(value) or value.__doc__, name


def test_old_names_are_gone(held):
    for what, names in {
        "store": ["run", "dataset", "prediction", "delete"], "logged": ["ref"], "library": ["Reference"],
        "model": ["describe", "require", "gate", "placed", "at"], "version": ["describe", "gate"],
    }.items():  # fmt: skip
        assert [name for name in names if hasattr(held[what], name)] == []


ON_ACTIVE = {
    "log": ({"loss": 0.5},), "log_params": ({"lr": 0.1},), "set_tags": ({"team": "a"},), "log_text": ("t", "t.txt"),
    "log_dict": ({"a": 1}, "d"), "log_artifact": (b"bytes", "b"), "log_table": ({"a": [1]}, "t"),
    "log_image": (np.zeros((2, 2)), "i"), "log_dataset": ([[1, 2]], "train"),
}  # fmt: skip


@pytest.mark.parametrize("name", ON_ACTIVE)
def test_functions_work_on_the_active_run(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    with mm.start_run("churn") as run:
        getattr(mm, name)(*ON_ACTIVE[name])
    assert run.metrics or run.params or run.tags or run.artifacts or run.datasets
    with pytest.raises(errors.RunFinishedError, match=rf"mm\.{name} needs a run: .*mm\.start_run"):
        getattr(mm, name)(*ON_ACTIVE[name])
    method = inspect.signature(getattr(mm.Run, name))
    assert [*inspect.signature(getattr(mm, name)).parameters] == [*method.parameters][1:]


def test_the_active_run_is_that_of_the_innermost_block(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    bare = mm.start_run("bare")
    with mm.start_run("outer") as outer:
        mm.set_tags(where="outer")
        with mm.start_run() as inner:
            mm.set_tags(where="inner")
    mm.set_tags(where="bare")
    mm.finish()
    mm.finish()  # nothing is active: fine
    assert [run.tags["where"] for run in (outer, inner, bare)] == ["outer", "inner", "bare"]
    assert bare.status == "finished"


def losses(store, *values):
    for number, value in enumerate(values):
        with store.start_run("best", name=f"run {number}") as run:
            run.log(loss=value)
    return store.runs(order_by="run.number")


@pytest.mark.filterwarnings("ignore:Not considered")
def test_the_best_run(tmp_path):
    store = mm.Store(tmp_path / "store")
    runs = losses(store, 0.5, float("nan"), 0.25, 0.25, float("inf"))
    with pytest.warns(UserWarning, match="not a finite number: run 1, run 4"):
        assert runs.best("loss", "min").name == "run 2", "of equal ones the first"
    with pytest.warns(UserWarning, match="not a finite number: run 1, run 4"):
        assert runs.best("loss").name == "run 0", "what diverged is not considered"
    with store.start_run("best", name="back and forth") as run:
        for value in (0.9, 0.1, 0.8):
            run.log(loss=value)
    assert store.runs.best("loss", "min").name == "run 3", "newest first"
    assert store.runs.best("loss", "min", value="min").name == "back and forth"
    for call, words in (
        (lambda: runs[1:2].best("loss"), "no best run"), (lambda: runs.best("lose"), "loss"),
        (lambda: store.runs("run.name = 'nobody'").best("loss"), "no best run"),
    ):  # fmt: skip
        with pytest.raises(errors.NotFoundError, match=words):
            call()
    for options in ({"mode": "lowest"}, {"value": "median"}):
        with pytest.raises(errors.InvalidValueError):
            runs.best("loss", **options)


def test_collections_are_added(tmp_path):
    store = mm.Store(tmp_path / "store")
    runs = losses(store, 0.5, 0.25, 0.125)
    assert (runs[2:] + runs[:2]).ids == [runs.ids[2], *runs.ids[:2]]
    assert (runs + runs[:1]).ids == runs.ids
    assert (store.runs + runs[:0]).ids == store.runs.ids == runs.ids[::-1]
    with pytest.raises(errors.InvalidValueError, match="merge the stores first"):
        _ = runs + mm.Store(tmp_path / "other").runs()
    with pytest.raises(TypeError):
        _ = runs + runs.ids


def test_all_runs_of_a_store(tmp_path):
    store = mm.Store(tmp_path / "store")
    assert (len(store.runs), list(store.runs), store.experiments) == (0, [], [])
    [first, second] = losses(store, 0.5, 0.25)
    assert store.runs["run 0"] == store.runs[first.id] == store.runs[-1] == first
    assert store.runs[0] == second
    assert store.runs[:1].ids == [second.id]
    assert first in store.runs
    assert "run 1" in store.runs
    assert "run 7" not in store.runs
    assert store.runs.to_frame().index.tolist() == [second.id, first.id]
    assert repr(store.runs) == repr(store.runs())
    assert len(store.runs("metrics.loss > 0.3")) == 1
    with pytest.raises(errors.NotFoundError, match="run 7"):
        store.runs["run 7"]
    with pytest.raises(errors.InvalidTypeError):
        store.runs[0.5]
    none = store.runs("run.name = 'x'")
    for collection, place, there in ((store.runs, 2, "2 runs"), (store.runs, -3, "2 runs"), (none, 0, "none")):
        with pytest.raises(IndexError, match=f"no run at place {place}: there are {there}") as caught:
            collection[place]
        assert isinstance(caught.value, errors.NotFoundError)


def test_renaming_and_moving(tmp_path):
    store = mm.Store(tmp_path / "store")
    with store.start_run("drafts", name="one") as parent, store.start_run(name="below"), store.start_run(name="deep"):
        pass
    with store.start_run("drafts", name="other"), store.start_run("elsewhere", name="apart"):
        pass
    with store.start_run("kept", name="there"):
        pass
    before = store.runs["one"]
    parent.rename("best")
    parent.move("kept")
    moved = store.runs["best"]
    assert (parent.name, parent.experiment, parent.number) == ("best", "kept", 2)
    assert (moved.status, moved.ended_at, moved.id) == ("finished", before.ended_at, before.id)
    assert sorted((run.name, run.number) for run in store.runs("run.experiment = 'kept'")) == [
        ("below", 3), ("best", 2), ("deep", 4), ("there", 1),
    ]  # fmt: skip
    assert [run.name for run in store.runs("run.experiment = 'drafts'")] == ["other"]
    assert "one" not in store.runs
    parent.move("kept")
    assert store.runs["best"].number == 2, "it is there already"
    for wrong in ("", "a\nb", 3):
        with pytest.raises((errors.InvalidNameError, errors.InvalidTypeError)):
            parent.rename(wrong)
        with pytest.raises((errors.InvalidNameError, errors.InvalidTypeError)):
            parent.move(wrong)
    assert store.check(deep=True) == []


def test_a_report_of_runs(tmp_path):
    store = mm.Store(tmp_path / "store")
    runs = losses(store, 0.5, 0.25)
    page = runs.report(tmp_path / "some.html", title="Both")
    assert "Both" in page.read_text()
    one = store.report(tmp_path / "one.html", "metrics.loss < 0.3").read_text()
    assert "run 1" in one
    assert "run 0" not in one
    assert mm.report.write_report(runs, tmp_path / "three.html").exists()


def test_aliases_of_habit(tmp_path):
    with mm.Store(tmp_path / "store").start_run() as run:
        run.log_metrics({"loss": 0.5}, step=3)
        run.log_param("lr", 0.1)
    assert (run.metrics, run.series("loss").steps.tolist(), run.params) == ({"loss": 0.5}, [3], {"lr": 0.1})


def test_versions_of_data_by_name(tmp_path):
    store = mm.Store(tmp_path / "store")
    with store.start_run() as run:
        for rows in (1, 2, 3):
            run.log_dataset(FRAME.head(rows), "train")
    train = store.datasets["train"]
    assert (train.reference, store.datasets["train:2"].rows, list(store.datasets)) == ("train:3", 2, ["train"])
    assert [version.rows for version in train.versions] == [1, 2, 3]
    assert train.created_at.tzinfo is not None
    assert "train:2" in store.datasets
    assert "train:4" not in store.datasets
    with pytest.raises(errors.NotFoundError, match="1, 2, 3"):
        store.datasets["train:4"]


def test_predictions_by_id(held):
    predictions = held["all predictions"]
    assert predictions["b"].version == "churn:1"
    assert "b" in predictions
    assert "z" not in predictions
    assert None not in predictions
    with pytest.raises(errors.NotFoundError, match="z"):
        predictions["z"]


def half_good(store):
    with store.start_run() as run:
        run.log({"loss": 0.5, "bad": None})


def half_good_and_active(store):
    with store.start_run():
        mm.log({"loss": 0.5, "bad": None})


def sorted_by_nothing(store):
    store.runs(order_by="metrics.nobody")


@pytest.mark.parametrize("act", [half_good, half_good_and_active, sorted_by_nothing])
def test_a_warning_points_at_the_line_of_the_user(tmp_path, act):
    store = mm.Store(tmp_path / "store")
    store.start_run().finish()
    with pytest.warns(UserWarning, match=r"bad|nobody") as caught:
        act(store)
    lines = range(act.__code__.co_firstlineno, act.__code__.co_firstlineno + 4)
    assert all(found.filename == __file__ and found.lineno in lines for found in caught)
