"""Plots over many runs, comparisons, steps and commits: what they show, and that nothing hostile stops them."""

from __future__ import annotations

import math
import subprocess
import sys
from datetime import UTC, datetime

import numpy as np
import pytest
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

import modelmgmt as mm
from modelmgmt.errors import InvalidTypeError, InvalidValueError, NotFoundError
from modelmgmt.tracking.by_commit import CommitHistory, CommitResult
from modelmgmt.view.figures import detached_figure

plots = mm.plots


@pytest.fixture(autouse=True)
def _closed():
    yield
    plt.close("all")


@pytest.fixture
def runs(store):
    rng = np.random.default_rng(0)
    for number in range(24):
        params = {"lr": 10.0 ** -(number % 5), "opt": ["adam", "sgd"][number % 2], "depth": number % 7, "same": 1}
        if number % 3:
            params["drop"] = number / 30
        with store.start_run("many", params=params, name=f"$run_{number}$", code=False) as run:
            run.log(acc=-abs(number % 5 - 2) + rng.normal(0, 0.1))
    return store.runs("run.experiment = 'many'")


def saved(axes, tmp_path):
    return plots.save(axes, tmp_path / "plot.png").stat().st_size


def texts(axes: Axes) -> list[str]:
    return [text.get_text() for text in axes.texts]


# ------------------------------------------------------------------------------------------- many runs


def test_parallel(runs, tmp_path):
    axes = plots.parallel(runs, "acc")
    assert [label.get_text() for label in axes.get_xticklabels()] == ["depth", "drop", "lr", "opt", "acc"]
    [lines] = axes.collections
    assert len(lines.get_segments()) == 24
    assert {"adam", "sgd", "not set", "1", "0.0001"} <= set(texts(axes))
    assert "no number" not in texts(axes)
    assert saved(axes, tmp_path) > 10_000
    chosen = plots.parallel(runs, params=["lr", "params.opt"], max_runs=5)
    assert len(chosen.collections[0].get_segments()) == 5
    assert chosen.get_title(loc="left") == "5 of 24 runs"


def test_parallel_of_one_run_and_of_no_metric(runs, tmp_path):
    assert saved(plots.parallel(runs[:1], "acc", params=["lr"]), tmp_path)
    assert saved(plots.parallel(runs, params=["opt"]), tmp_path)
    with pytest.raises(NotFoundError, match="No param differs"):
        plots.parallel(runs[:1], "acc")
    with pytest.raises(NotFoundError, match="Did you mean 'acc'"):
        plots.parallel(runs, "ac")
    with pytest.raises(NotFoundError, match=r"params\.lrr"):
        plots.parallel(runs, "acc", params=["lrr"])
    with pytest.raises(InvalidValueError):
        plots.parallel(runs, "acc", max_runs=0)


def test_scatter(runs, tmp_path):
    axes = plots.scatter(runs, "params.lr", "metrics.acc", colour="params.opt")
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "linear")
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["adam", "sgd"]
    assert sum(len(dots.get_offsets()) for dots in axes.collections) == 24
    assert saved(axes, tmp_path)
    axes = plots.scatter(runs, "params.opt", "metrics.acc", colour="params.lr")
    assert [label.get_text() for label in axes.get_xticklabels()] == ["adam", "sgd"]
    assert saved(axes, tmp_path)
    axes = plots.scatter(runs, "params.drop", "duration_s", colour="params.depth")
    assert axes.get_title(loc="left") == "16 of 24 runs have both"
    assert saved(plots.scatter(runs[:1], "name", "metrics.acc", colour="params.drop"), tmp_path)
    with pytest.raises(NotFoundError, match="Did you mean 'opt'"):
        plots.scatter(runs, "params.op", "metrics.acc")


def test_importance(runs, tmp_path):
    axes = plots.importance(runs, "acc")
    names = [label.get_text() for label in axes.get_yticklabels()]
    assert names[0] == "lr"
    assert "same" not in names
    assert "no direction" in texts(axes)[0]
    assert saved(axes, tmp_path)
    with pytest.raises(NotFoundError, match="metric 'accc'"):
        plots.importance(runs, "accc")
    with pytest.raises(InvalidValueError, match="four runs"):
        plots.importance(runs[:3], "acc")
    with pytest.raises(NotFoundError, match="can be important"):
        plots.importance(runs, "acc", params=["same"])


@pytest.mark.parametrize("few", [lambda runs: list(runs[:5]), lambda runs: tuple(runs[:5]), lambda runs: runs[0]])
def test_a_list_of_runs_and_one_run(runs, tmp_path, few):
    given = few(runs)
    assert saved(plots.curves(given, "acc"), tmp_path)
    assert saved(plots.scatter(given, "params.lr", "metrics.acc"), tmp_path)
    page = mm.report.write_report(given, tmp_path / "report.html").read_text()
    assert runs[0].name in page
    assert runs[5].name not in page


@pytest.mark.parametrize("given", ["acc", ["acc"], 3, None, []])
def test_what_is_no_collection_of_runs(given, tmp_path):
    for draw in (
        lambda: plots.curves(given, "acc"),
        lambda: plots.parallel(given, "acc"),
        lambda: plots.importance(given, "acc"),
        lambda: plots.scatter(given, "params.a", "metrics.acc"),
        lambda: mm.report.write_report(given, tmp_path / "report.html"),
    ):
        with pytest.raises((InvalidTypeError, NotFoundError), match=r"store\.runs\(|the list is empty"):
            draw()


def test_nothing_to_draw(store):
    empty = store.runs("run.experiment = 'none'")
    for draw in (
        lambda: plots.parallel(empty, "acc"),
        lambda: plots.scatter(empty, "params.a", "metrics.acc"),
        lambda: plots.importance(empty, "acc"),
    ):
        with pytest.raises(NotFoundError, match="no runs"):
            draw()


def test_hostile_values(store, tmp_path):
    for number in range(6):
        params = {
            "word $x^$": ["_a", "<b>", "日本", "x" * 500, "", "\t"][number],
            "list": [number],
            "mixed": [1, "a", None, True, 2.5, -1][number],
            "huge": 10.0 ** (60 * number),
            "inf": [1.0, math.inf, -math.inf, math.nan, 0.0, 2.0][number],
        }
        with store.start_run("hostile", params=params, name=f"${number}_", code=False) as run:
            run.log(acc=[1.0, math.nan, math.inf, -math.inf, 1.0, 2.0][number], flat=1.0)
    runs = store.runs("run.experiment = 'hostile'")
    for axes in (
        plots.parallel(runs, "acc"),
        plots.parallel(runs, "flat"),
        plots.scatter(runs, "params.word $x^$", "metrics.acc", colour="params.mixed"),
        plots.scatter(runs, "params.inf", "params.huge", colour="params.inf"),
        plots.importance(runs, "acc"),
        plots.importance(runs, "flat"),
    ):
        assert saved(axes, tmp_path)


def test_axes_that_are_given_are_used(runs):
    figure = detached_figure((8, 8))
    grid = figure.subplots(2, 2).ravel()
    assert plots.parallel(runs, "acc", ax=grid[0]) is grid[0]
    assert plots.scatter(runs, "params.lr", "metrics.acc", ax=grid[1]) is grid[1]
    assert plots.importance(runs, "acc", ax=grid[2]) is grid[2]
    assert len(figure.axes) == 4


def test_whole_numbers_have_ticks_at_whole_numbers(store, tmp_path):
    for number in range(40):
        params = {"depth": 1 + number % 3, "trees": number * 1000, "seed": number, "rate": 0.5 + number % 3}
        with store.start_run("whole", params=params, code=False) as run:
            run.log(errors=number % 4)
    found = store.runs("run.experiment = 'whole'")
    axes = plots.scatter(found, "params.depth", "metrics.errors", colour="params.seed")
    bar = axes.get_figure().axes[1]
    scale = plots.curves(found[-9:], "errors", label="params.seed").get_figure().axes[1]
    for line in (axes.xaxis, axes.yaxis, bar.yaxis, scale.yaxis):
        ticks = line.get_majorticklocs()
        assert len(ticks) >= 2
        assert (ticks == ticks.round()).all()
    halves = plots.scatter(found, "params.rate", "params.trees").xaxis.get_majorticklocs()
    assert (halves != halves.round()).any()
    assert saved(axes, tmp_path)


# ------------------------------------------------------------------------------------------- comparisons, steps, commits


def test_compare_groups(store, runs, tmp_path):
    found = store.compare_groups(runs.groupby("params.opt"), ["acc"], test=None)
    axes = plots.compare(found)
    assert [label.get_text() for label in axes.get_yticklabels()] == ["opt=adam  (n = 12)", "opt=sgd  (n = 12)"]
    assert saved(axes, tmp_path)
    single = store.compare_groups({"one": runs[:1], "none": runs[1:2]}, ["acc"], test=None)
    assert saved(plots.compare(single, "acc"), tmp_path)
    assert plots.compare(found, ["acc"]).shape == (1,)
    with pytest.raises(NotFoundError, match="has no 'loss'"):
        plots.compare(found, "loss")
    with pytest.raises(InvalidTypeError, match="draws a comparison"):
        plots.compare(runs)


def test_compare_runs(store, tmp_path):
    for name in ("a", "b"):
        with store.start_run(name=name, code=False) as run:
            run.log_series("loss", np.arange(10.0) if name == "a" else np.arange(10.0)[::-1])
            run.log_series("acc", np.arange(3.0))
    axes = plots.compare(store.compare("a", "b"))
    assert axes.shape == (2,)
    assert len(plots.compare(store.compare("a", "b"), "loss").lines) == 2
    assert saved(axes, tmp_path)


def test_pipeline(store, tmp_path):
    @mm.step
    def inner(x):
        return [x]

    @mm.step
    def first(n):
        return inner(n) * n

    @mm.step
    def second(rows):
        return np.array(rows)

    @mm.step
    def third(rows, array, label="$x$"):
        if len(rows) > 2:
            raise ValueError
        return float(array.sum())

    with store.start_run("pipe", code=False) as run:
        rows = first(2)
        third(rows, second(rows))
        with pytest.raises(ValueError):
            third([1, 2, 3], second(rows))
    axes = plots.pipeline(run)
    assert {"first", "inner", "second", "third", "ndarray 2", "4.0"} <= set(texts(axes))
    assert any(text.startswith("failed") for text in texts(axes))
    assert saved(axes, tmp_path)
    with store.start_run("pipe", code=False) as bare:
        pass
    with pytest.raises(NotFoundError, match="has no steps"):
        plots.pipeline(bare)


def test_a_graph_keeps_lanes_apart_from_boxes(store):
    from modelmgmt.tracking.steps.graph import graph

    steps = [mm.step(name=f"s{number}")(lambda *given, n=number: [*given, n]) for number in range(6)]
    with store.start_run("pipe", code=False) as run:
        outputs = [steps[0]()]
        for step in steps[1:]:
            outputs.append(step(outputs[-1], outputs[0]))
    laid_out = graph(run.steps)
    assert [node.column for node in laid_out.nodes] == list(range(6))
    boxes = {(node.column, node.row) for node in laid_out.nodes}
    lanes = {place for edge in laid_out.edges for place in edge.via}
    assert lanes
    assert all(abs(row - other) >= 0.7 for column, row in lanes for at, other in boxes if at == column)


def row(value, commit="abcdef123456", is_dirty=False):
    return CommitResult(commit, "main", is_dirty, datetime(2026, 1, 1, tzinfo=UTC), 2, value, math.nan, "r", "name")


def test_history(tmp_path):
    rows = (row(0.5), row(0.7, is_dirty=True), row(math.nan), row(0.6, None, None), row(0.9))
    axes = plots.history(CommitHistory("acc", "last", "max", rows))
    assert texts(axes) == ["+0.3", "-0.1"]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["abcdef1", "abcdef1", "no commit", "abcdef1"]
    assert saved(axes, tmp_path)
    assert texts(plots.history(CommitHistory("loss", "last", "min", rows))) == ["-0.1", "+0.3"]
    assert saved(plots.history(CommitHistory("acc", "last", "max", rows[:1])), tmp_path)
    with pytest.raises(NotFoundError, match="finite"):
        plots.history(CommitHistory("acc", "last", "max", (row(math.nan),)))


def test_no_window_and_no_global_state(tmp_path):
    code = (
        "import sys, modelmgmt as mm\n"
        "for n in range(6):\n"
        "    with mm.start_run('s', params={'a': n}, code=False) as run:\n"
        "        run.log(acc=n % 3)\n"
        "runs = mm.Store().runs()\n"
        "mm.plots.parallel(runs, 'acc'), mm.plots.importance(runs, 'acc')\n"
        "mm.plots.scatter(runs, 'params.a', 'metrics.acc')\n"
        "print('matplotlib.pyplot' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (done.stdout.strip(), done.stderr) == ("False", "")
