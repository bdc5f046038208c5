"""Plots: what is drawn is what was logged, whatever it is called, and a script is left without pyplot."""

import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from modelmgmt.errors import InvalidValueError, NotFoundError
from modelmgmt.view import plots

START = datetime(2026, 5, 4, 9, 30, tzinfo=UTC)


@dataclass(frozen=True)
class FakeRun:
    id: str
    name: str
    experiment: str = "churn"
    status: str = "finished"
    started_at: datetime = START
    duration_s: float | None = 63.0


class FakeRuns:
    """Runs built from a mapping: name -> {key: values}, and param columns."""

    def __init__(self, logged, **columns):
        self.runs = [FakeRun(f"01J{i:013d}", name) for i, name in enumerate(logged)]
        self.logged = list(logged.values())
        last = [{f"metrics.{key}": values[-1] for key, values in series.items()} for series in self.logged]
        index = pd.Index([run.id for run in self.runs], name="run")
        self.frame = pd.DataFrame(last, index=index).assign(**columns)

    def __len__(self):
        return len(self.runs)

    def __iter__(self):
        return iter(self.runs)

    def to_frame(self):
        return self.frame

    def history(self, key, /):
        rows = [
            (run.id, run.name, step, value, START + pd.Timedelta(seconds=30 * step))
            for run, series in zip(self.runs, self.logged, strict=True)
            for step, value in enumerate(series.get(key, []))
        ]
        table = pd.DataFrame(rows, columns=["run", "name", "step", "value", "time"])
        return table.astype({"step": "int64", "value": "float64", "time": "datetime64[us, UTC]"})


def some(count, points=20, **columns):
    logged = {f"run-{i}": {"loss": np.linspace(2, i / count, points), "acc": np.arange(points)} for i in range(count)}
    return FakeRuns(logged, **columns)


def lines(axes):
    return [line for line in axes.get_lines() if not line.get_label().startswith("_")]


def legend_of(axes):
    return [text.get_text() for legend in axes.figure.legends for text in legend.get_texts()]


def draw(axes):
    FigureCanvasAgg(axes.figure).draw()


@pytest.fixture(autouse=True)
def no_pyplot(monkeypatch):
    """Another test may have imported pyplot: these look at what happens without it."""
    monkeypatch.delitem(sys.modules, "matplotlib.pyplot", raising=False)


def test_a_line_per_run_with_its_values_and_its_name():
    axes = plots.curves(some(3), "loss")
    assert [line.get_label() for line in lines(axes)] == ["run-0", "run-1", "run-2"]
    np.testing.assert_allclose(lines(axes)[0].get_ydata(), np.linspace(2, 0, 20))
    assert legend_of(axes) == ["run-0", "run-1", "run-2"]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("step", "loss")
    assert "matplotlib.pyplot" not in sys.modules


def test_one_run_needs_no_legend_and_one_point_has_a_marker():
    axes = plots.curves(FakeRuns({"only": {"loss": [0.5]}}), "loss")
    assert legend_of(axes) == []
    assert lines(axes)[0].get_marker() == "o"


def test_smoothing_draws_the_raw_line_pale_behind():
    axes = plots.curves(FakeRuns({"a": {"loss": [0.0, 1.0, 0.0, 1.0]}}), "loss", smoothing=0.5)
    pale, strong = axes.get_lines()
    assert pale.get_ydata().tolist() == [0, 1, 0, 1]
    assert strong.get_ydata()[1] == pytest.approx(2 / 3)
    assert pale.get_alpha() < 0.3 <= strong.get_alpha()
    assert pale.get_zorder() < strong.get_zorder()
    assert pale.get_color() == strong.get_color()


def test_several_keys_make_a_panel_each_and_a_run_looks_the_same_in_all():
    axes = plots.curves(some(9), ["loss", "acc", "loss"])
    assert axes.shape == (3,)
    assert [axis.get_ylabel() for axis in axes] == ["loss", "acc", "loss"]
    looks = [[(line.get_color(), line.get_linestyle()) for line in lines(axis)] for axis in axes]
    assert looks[0] == looks[1]
    assert len(axes[0].figure.axes) == 3
    assert plots.curves(some(2), ["loss"]).shape == (1,)


def test_28_runs_all_look_different_and_are_all_named():
    axes = plots.curves(some(28), "loss")
    looks = {(line.get_color(), str(line._unscaled_dash_pattern)) for line in lines(axes)}
    assert len(looks) == len(legend_of(axes)) == 28


def test_many_runs_are_cut_and_the_title_says_so():
    axes = plots.curves(some(500, points=3), "loss")
    assert len(lines(axes)) == 50
    assert axes.get_title(loc="left") == "50 of 500 runs"
    assert legend_of(axes) == []


def test_many_numbers_become_a_colour_scale():
    axes = plots.curves(some(12, **{"params.lr": np.geomspace(1e-4, 1e-1, 12)}), "loss", label="params.lr")
    [bar] = [axis for axis in axes.figure.axes if axis is not axes]
    assert bar.get_ylabel() == "lr"
    assert isinstance(axes.figure.axes[1]._colorbar.norm, LogNorm)
    assert len({tuple(line.get_color()) for line in lines(axes)}) == 12


def test_few_numbers_and_texts_are_named_once_each():
    lr = [0.1, 0.01, 0.1, 0.001, np.nan, 0.01]
    axes = plots.curves(some(6, **{"params.lr": lr}), "loss", label="params.lr")
    assert legend_of(axes) == ["0.001", "0.01", "0.1", "not set"]
    assert axes.figure.legends[0].get_title().get_text() == "lr"
    colours = [line.get_color() for line in lines(axes)]
    assert colours[0] == colours[2] != colours[1] == colours[5]
    mixed = pd.Series(["adam", None, 3, True, [1], "adam"], dtype=object).to_numpy()
    axes = plots.curves(some(6, **{"params.opt": mixed}), "loss", label="params.opt")
    assert legend_of(axes) == ["adam", "3", "True", "[1]", "not set"]
    draw(axes)


def test_time_is_a_date_axis_in_utc_and_relative_time_has_a_unit_that_fits():
    axes = plots.curves(some(2, points=30), "loss", x="time")
    assert axes.get_xlabel() == "time (UTC)"
    draw(axes)
    assert "09:30" in [tick.get_text() for tick in axes.get_xticklabels()]
    axes = plots.curves(some(2, points=30), "loss", x="relative_time_s")
    assert axes.get_xlabel().endswith("(min)")
    assert lines(axes)[0].get_xdata()[-1] == pytest.approx(14.5)


def test_given_axes_are_drawn_on_in_seconds():
    figure = Figure()
    given = figure.subplots(1, 2)
    assert plots.curves(some(2, points=400), "loss", ax=given[0], x="relative_time_s") is given[0]
    assert given[0].get_xlabel().endswith("(s)")
    assert [text.get_text() for text in given[0].get_legend().get_texts()] == ["run-0", "run-1"]
    assert list(plots.curves(some(2), ["loss", "acc"], ax=given)) == list(given)
    with pytest.raises(InvalidValueError, match="2 metrics need 2 Axes"):
        plots.curves(some(2), ["loss", "acc"], ax=given[0])


def test_nan_does_not_hide_its_neighbours_and_a_cross_marks_the_end_of_numbers():
    axes = plots.curves(FakeRuns({"a": {"loss": [1, np.nan, 2, np.inf, 3, np.nan, np.nan]}}), "loss")
    line, cross = axes.get_lines()
    assert line.get_ydata().tolist() == [1, 2, 3]
    assert (cross.get_marker(), cross.get_xdata().tolist(), cross.get_ydata().tolist()) == ("X", [4], [3])


@pytest.mark.parametrize("smoothing", [0.0, 0.9])
@pytest.mark.parametrize("log", [False, True])
def test_only_nan_only_zero_and_huge_values_can_be_drawn(smoothing, log):
    # Where a margin would pass the largest float, a logarithmic axis is beyond matplotlib itself.
    huge = [1e200, 1.0] if log else [1e308, -1e308]
    for values in ([np.nan] * 3, [np.inf], [0.0, -1.0], huge, [5e-324, 1e-300]):
        for x in ("step", "time", "relative_time_s"):
            axes = plots.curves(FakeRuns({"a": {"m": values}}), "m", x=x, smoothing=smoothing, log_x=log, log_y=log)
            if not np.isfinite(values).any():
                assert [text.get_text() for text in axes.texts] == ["no finite value was logged"]
    if not log:
        draw(axes)


@pytest.mark.parametrize(
    "name",
    [
        "$\\frac{",
        "_hidden",
        "🦦 模型",
        "n" * 200,
        "two\nlines",
        "\x1b[31m",
        "<script>",
        "\ud800",
        "$a$ and $b$",
        "\u202e",
    ],
)
def test_any_name_can_be_drawn_without_a_warning(name, tmp_path):
    runs = FakeRuns({name: {name: [1.0, 2.0]}, "other": {name: [2.0, 1.0]}}, **{f"params.{name}": ["a", name]})
    plots.save(plots.curves(runs, name), tmp_path / "name.png", dpi=40)
    axes = plots.curves(runs, name, label=f"params.{name}")
    plots.save(axes, tmp_path / "label.png", dpi=40)
    assert len(legend_of(axes)) == 2
    assert all(len(text) <= 29 for text in legend_of(axes))


def test_a_long_name_keeps_both_ends():
    logged = {"n" * 100 + "-17": {"m": [1, 2]}, "n" * 100 + "-18": {"m": [1, 2]}}
    assert [text[-3:] for text in legend_of(plots.curves(FakeRuns(logged), "m"))] == ["-17", "-18"]


def test_a_spike_in_a_long_curve_is_drawn():
    values = np.zeros(50_000)
    values[31_234] = 9
    [line] = plots.curves(FakeRuns({"a": {"m": values}}), "m").get_lines()
    assert len(line.get_ydata()) <= 4000
    assert line.get_ydata().max() == 9


def test_what_is_not_there_is_said_with_what_to_do():
    with pytest.raises(NotFoundError, match="no runs"):
        plots.curves(FakeRuns({}), "loss")
    with pytest.raises(NotFoundError, match="Did you mean 'loss'"):
        plots.curves(some(2), "los")
    with pytest.raises(KeyError, match="They have: acc, loss"):
        plots.curves(some(2), "zzz")
    with pytest.raises(NotFoundError, match="Did you mean 'lr'"):
        plots.curves(some(2, **{"params.lr": 1}), "loss", label="params.lrr")
    with pytest.raises(NotFoundError, match="no params at all"):
        plots.curves(some(2), "loss", label="lr")
    for wrong in ({"x": "epoch"}, {"smoothing": 1.0}, {"max_runs": 0}):
        with pytest.raises(InvalidValueError):
            plots.curves(some(2), "loss", **wrong)
    with pytest.raises(InvalidValueError, match="No metric"):
        plots.curves(some(2), [])


def test_save_writes_the_format_of_the_suffix(tmp_path):
    axes = plots.curves(some(2), ["loss", "acc"])
    assert plots.save(axes, tmp_path / "a.png", dpi=40).read_bytes().startswith(b"\x89PNG")
    assert b"<svg" in plots.save(axes[0], str(tmp_path / "a.SVG")).read_bytes()
    with pytest.raises(InvalidValueError, match=r"use one of .*\.png"):
        plots.save(axes, tmp_path / "a.doc")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.SVG", "a.png"]


def test_whoever_imported_pyplot_finds_the_figure_there():
    import matplotlib.pyplot as plt

    sys.modules["matplotlib.pyplot"] = plt
    others = set(plt.get_fignums())
    axes = plots.curves(some(2), "loss")
    try:
        assert plt.fignum_exists(axes.figure.number)
    finally:
        plt.close(axes.figure)
        assert set(plt.get_fignums()) == others


def test_importing_the_room_loads_no_heavy_library():
    code = (
        "import sys, modelmgmt.view.plots, modelmgmt.view.tables, modelmgmt.view.report, modelmgmt.tracking.curves\n"
        "print([m for m in ('numpy', 'pandas', 'matplotlib', 'rich', 'jinja2') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
