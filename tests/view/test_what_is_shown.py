"""What people see of runs: NaN is data, params are exact, what was asked for stays, and one broken run costs only itself."""

import json
import math
import os
import pty
import re
import select
import sqlite3
import subprocess
import sys
import warnings
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest

import modelmgmt as mm
from modelmgmt.view.text import MISSING

mpl.use("Agg")
BIN = str(Path(sys.executable).with_name("modelmgmt"))
NAN = float("nan")


@pytest.fixture
def store(tmp_path):
    return mm.Store(tmp_path / "store")


def begun(store, name, params=None, **metrics):
    """A run with these params, and metrics as lists of values."""
    with store.start_run("doc", name=name, params=params, tags={"team": "a"}) as run:
        for key, values in metrics.items():
            for step, value in enumerate(values):
                run.log({key: value}, step=step)
    return run


@pytest.fixture
def mixed(store):
    """A run that went well, one that diverged to NaN, one to infinity, and one that never logged the loss."""
    begun(store, "well", {"lr": 0.1}, loss=[0.5, 0.25], acc=[0.5, 0.9])
    begun(store, "nan", {"lr": 0.1 + 0.2}, loss=[0.125, NAN], acc=[0.5, 0.8])
    begun(store, "inf", {"lr": 1e-300}, loss=[0.5, math.inf], acc=[0.5, 0.7])
    begun(store, "never", {"lr": 1e22}, acc=[0.5, 0.6])
    return store


def on_terminal(width, *arguments):
    """What a command prints into a terminal of that width, without colours."""
    parent, child = pty.openpty()
    environment = {**os.environ, "COLUMNS": str(width), "TERM": "xterm", "LINES": "50"}
    process = subprocess.Popen([BIN, *map(str, arguments)], stdout=child, stderr=subprocess.PIPE, env=environment)
    os.close(child)
    parts = []
    while True:
        if not select.select([parent], [], [], 60)[0]:
            break
        try:
            part = os.read(parent, 1 << 16)
        except OSError:
            break
        if not part:
            break
        parts.append(part)
    os.close(parent)
    errors = process.communicate()[1]
    assert process.returncode == 0, errors
    return re.sub(r"\x1b\[[0-9;]*m", "", b"".join(parts).decode()).replace("\r\n", "\n")


def row(text, name):
    return next(line for line in text.splitlines() if line.split() and line.split()[0] == name)


# -- NaN is data ------------------------------------------------------------------------------------------------------


def test_a_table_of_runs_tells_nan_from_never(mixed):
    text = repr(mixed.runs(order_by="-params.lr"))
    assert row(text, "nan").split().count("nan") == 2  # its name, and its loss
    assert "inf" in row(text, "inf").split()[1:]
    assert MISSING in row(text, "never")
    assert "loss" in row(text, "nan").split()
    assert "loss" not in row(text, "well").split()


def test_frames_name_the_metrics_that_diverged(mixed):
    frame = mixed.runs().to_frame().set_index("name")
    assert frame["diverged"].to_dict() == {"never": "", "inf": "loss", "nan": "loss", "well": ""}
    assert frame["metrics.loss"].isna().to_dict() == {"never": True, "inf": False, "nan": True, "well": False}
    assert frame["metrics.loss"].dtype == "float64"
    assert mixed.runs["nan"].diverged == ("loss",)
    assert mixed.runs["well"].diverged == ()


def test_a_run_shows_that_it_diverged(mixed):
    page = mixed.runs["nan"]._repr_html_()
    assert ">diverged<" in page
    assert "nan (min 0.125" in page
    assert ">diverged<" not in mixed.runs["well"]._repr_html_()


def test_a_comparison_names_the_runs_that_diverged(mixed):
    text = repr(mixed.compare("well", "nan", "inf", "never"))
    assert "Diverged, the last value is not finite: nan (loss), inf (loss)." in text
    loss = next(line for line in text.splitlines() if line.startswith("metrics  loss"))
    assert loss.split()[2:] == ["0.25", "nan", "inf", MISSING]
    assert "Diverged" not in repr(mixed.compare("well", "never"))


def test_a_report_marks_them(mixed, tmp_path):
    page = mixed.runs().report(tmp_path / "page.html").read_text()
    assert '<span class="status-failed">nan</span>' in page
    assert '<span class="status-failed">inf</span>' in page
    assert "<dt>diverged</dt><dd>2</dd>" in page


def test_a_param_that_is_nan_or_none_is_shown_as_that(store):
    begun(store, "a", {"missing": NAN, "depth": None, "n": 1})
    begun(store, "b", {"missing": NAN, "n": 2})
    text = repr(store.runs())
    assert "missing=nan" in text
    assert row(text, "a").split()[-2:] == ["None", "1"]
    assert row(text, "b").split()[-2:] == [MISSING, "2"]


@pytest.mark.parametrize("order", ["metrics.loss", "-metrics.loss", "metrics.loss.last"])
def test_nan_comes_last_in_both_directions(mixed, order):
    names = [run.name for run in mixed.runs(order_by=order)]
    assert set(names[-2:]) == {"nan", "never"}


def test_the_best_run_did_not_diverge(mixed):
    for mode in ("min", "max"):
        with pytest.warns(UserWarning, match="'loss' is not a finite number: inf, nan"):
            assert mixed.runs().best("loss", mode).name == "well"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert mixed.runs().best("acc").name == "well"


def test_groups_show_themselves(mixed):
    begun(mixed, "again", {"lr": 0.1}, loss=[0.75])
    groups = mixed.runs().groupby("params.lr")
    assert list(groups) == ["lr=1e-300", "lr=0.1", "lr=0.30000000000000004", "lr=1e+22"]
    text = repr(groups)
    assert row(text, "lr=0.1").split() == ["lr=0.1", "2", "0", "0.9000", "0.5000"]
    assert row(text, "lr=1e+22").split()[-1] == MISSING
    assert groups._repr_html_().count("<tr") == 5
    mixed.compare_groups(groups, ["acc"])
    assert "no groups" in repr(mixed.runs("params.lr > 1e300").groupby("name"))


# -- numbers ----------------------------------------------------------------------------------------------------------


VALUES = [0.1, 0.30000000000000004, 1e22, 1e-300, 2**70, 10**30, -7, True, 1.0, 123456789.123456]


@pytest.mark.parametrize("value", VALUES)
def test_params_print_in_the_shortest_exact_form_everywhere(store, tmp_path, value):
    begun(store, "one", {"x": value, "n": 1})
    begun(store, "two", {"x": "text", "n": 2})
    expected = repr(value)
    assert f">{expected}<" in store.runs["one"]._repr_html_()
    assert expected in row(repr(store.runs()), "one").split()
    compared = next(line for line in repr(store.compare("one", "two")).splitlines() if line.startswith("params   x"))
    assert compared.split()[2:] == [expected, "text"]
    assert f">{expected}<" in store.runs().report(tmp_path / "page.html").read_text()
    done = subprocess.run(
        [BIN, "runs", "show", "one", "--store", store.path], capture_output=True, text=True, check=True
    )
    assert re.search(rf"^params\s+x\s+{re.escape(expected)}$", done.stdout, re.MULTILINE)


def test_text_that_looks_like_a_number_is_told_from_it(store):
    begun(store, "number", {"x": 0.1})
    begun(store, "text", {"x": "0.1"})
    line = next(line for line in repr(store.compare("number", "text")).splitlines() if line.startswith("params   x"))
    assert line.split()[2:] == ["0.1", "'0.1'"]


def test_means_that_differ_look_different(store):
    for group, base in (("a", 0.9), ("b", 0.9000001)):
        for seed in range(3):
            begun(store, f"{group}{seed}", {"group": group, "seed": seed}, acc=[base + seed])
    text = repr(store.compare_groups(store.runs().groupby("params.group"), ["acc"]))
    assert "1.9000001" in text


# -- small terminals --------------------------------------------------------------------------------------------------


@pytest.fixture
def wide(store):
    for number in range(4):
        params = {f"layer_{i}_units": 2 ** (i % 7) + number for i in range(40)}
        metrics = {f"val/score_{i}": [number + (i + 0.5) / 7] for i in range(40)}
        begun(store, f"run-{number}", {**params, "optimizer": "adam"}, **metrics)
    return store


@pytest.mark.parametrize("width", [60, 80, 200])
def test_a_terminal_keeps_what_was_asked_for(wide, width):
    asked = ["params.layer_39_units > 0 and metrics.val/score_38.min < 100", "--order-by", "-metrics.val/score_37"]
    text = on_terminal(width, "runs", "list", *asked, "--store", wide.path)
    assert max(map(len, text.splitlines())) <= width
    table = text[: text.index("\n\n")]
    for number in range(4):
        cells = row(table, f"run-{number}").split()
        assert str(2**4 + number) in cells
        assert f"{number + 38.5 / 7:#.4g}" in cells
        assert f"{number + 37.5 / 7:#.4g}" in cells
    assert "optimizer=adam" in text
    assert "status=finished" in text or "finished" in table


def test_columns_can_be_chosen(wide):
    columns = [f"metrics.val/score_{i}" for i in range(12)]
    text = on_terminal(
        60, "runs", "list", "--columns", ",".join(columns), "--columns", "run.user", "--store", wide.path
    )
    assert max(map(len, text.splitlines())) <= 60
    assert all(f"{3 + (i + 0.5) / 7:#.4g}" in text for i in range(12))
    assert "more column" not in text
    assert "layer" not in text


def test_a_pipe_gets_everything_each_row_on_one_line(wide):
    environment = {key: value for key, value in os.environ.items() if key != "COLUMNS"}
    done = subprocess.run(
        [BIN, "runs", "--store", wide.path], capture_output=True, text=True, check=True, env=environment
    )
    assert len(row(done.stdout, "run-3").split()) > 80
    assert "more column" not in done.stdout


@pytest.mark.parametrize("width", [60, 80])
def test_comparisons_of_many_runs_keep_every_value(wide, width):
    text = on_terminal(width, "runs", "compare", *(f"run-{number}" for number in range(4)), "--store", wide.path)
    assert max(map(len, text.splitlines())) <= width
    for number in range(4):
        assert f" {2**6 + number}" in text
        assert f"run-{number}" in text


# -- one broken run ---------------------------------------------------------------------------------------------------


def broken(store, table, run, change):
    """Changes what a table holds of a run without its checksum, as a flipped bit does."""
    path = store.path / "store.db"
    store.close()
    connection = sqlite3.connect(path)
    names = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'")}
    for name in names:
        connection.execute(f'DROP TRIGGER "{name}"')
    key = "id" if table == "runs" else "run"
    assert connection.execute(f"UPDATE {table} SET {change} WHERE {key} = ?", (run,)).rowcount
    connection.commit()
    connection.close()
    return mm.Store(path.parent)


DAMAGE = {"params": "value = 7", "metrics": "last = 7", "tags": "value = 'x'"}


@pytest.mark.filterwarnings("ignore:The run bad")
@pytest.mark.parametrize("table", DAMAGE)
def test_a_run_with_a_damaged_row_is_left_out_and_named(store, tmp_path, table):
    for name, lr in (("good", 0.5), ("bad", 0.25), ("other", 0.125)):
        begun(store, name, {"lr": lr, "seed": 1}, loss=[1.0, lr])
    bad = store.runs["bad"].id
    store = broken(store, table, bad, DAMAGE[table])
    with pytest.warns(UserWarning, match=f"The run bad .{bad}. is left out: A row of the table {table} is damaged"):
        frame = store.runs().to_frame()
    assert sorted(frame["name"]) == ["good", "other"]
    text = repr(store.runs())
    assert f"The run bad ({bad}) is left out" in text
    assert row(text, "good")
    page = store.runs().report(tmp_path / "page.html").read_text()
    assert f"The run bad ({bad}) is left out" in page
    assert "other" in page
    groups = store.runs().groupby("params.lr")
    assert list(groups) == ["lr=0.125", "lr=0.5"]
    assert [run.name for runs in groups.values() for run in runs] == ["other", "good"]
    mm.plots.scatter(store.runs(), "params.lr", "metrics.loss")
    assert "can not be read" in repr(store.compare("good", "bad")) or "cannot be read" in repr(
        store.compare("good", "bad")
    )
    done = subprocess.run([BIN, "runs", "--json", "--store", store.path], capture_output=True, text=True, check=True)
    assert [found["name"] for found in json.loads(done.stdout)] == ["other", "good"]
    assert f"The run bad ({bad}) is left out" in done.stderr


def test_a_run_whose_own_row_is_damaged_is_left_out_and_named(store):
    for name in ("good", "bad"):
        begun(store, name, {"lr": 0.5}, loss=[1.0])
    bad = store.runs["bad"].id
    store = broken(store, "runs", bad, "number = 99")
    with pytest.warns(UserWarning, match=f"The run '{bad}' is left out"):
        runs = store.runs("params.lr = 0.5")
    assert [run.name for run in runs] == ["good"]
    assert f"The run '{bad}' is left out" in repr(runs)


def test_a_damaged_curve_costs_no_plot_and_no_page(store, tmp_path):
    for name in ("good", "bad", "other"):
        begun(store, name, {"lr": 0.5}, loss=[3.0, 2.0, 1.0])
    bad = store.runs["bad"].id
    store = broken(store, "chunks", bad, "data = zeroblob(length(data))")
    with pytest.warns(UserWarning, match=f"The curve of loss of the run bad .{bad}. is left out"):
        axes = mm.plots.curves(store.runs(), "loss")
    assert {line.get_label() for line in axes.lines} == {"good", "other"}
    page = store.runs().report(tmp_path / "page.html").read_text()
    assert f"The curve of loss of the run bad ({bad}) is left out" in page
    assert page.count("<figure>") == 1
    with pytest.warns(UserWarning, match="The curve of loss of the run bad"):
        assert "good" in repr(store.compare("good", "bad", "other"))


# -- plots ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("plot", ["curves", "scatter", "parallel", "importance"])
def test_plots_of_runs_that_diverged(mixed, plot, tmp_path):
    if plot == "curves":
        axes = mm.plots.curves(mixed.runs(), ["loss", "acc"], log_y=True)
    elif plot == "scatter":
        axes = mm.plots.scatter(mixed.runs(), "params.lr", "metrics.loss", colour="metrics.acc")
    else:
        begun(mixed, "more", {"lr": 3.0}, loss=[0.5], acc=[0.1])
        begun(mixed, "most", {"lr": 4.0}, loss=[0.4], acc=[0.2])
        axes = getattr(mm.plots, plot)(mixed.runs(), "acc" if plot == "importance" else "loss")
    assert mm.plots.save(axes, tmp_path / "plot.png").stat().st_size


def drawn_below(axes):
    """The lowest value that the Axes show, and the lowest that is drawn."""
    return axes.get_ylim()[0], min(float(np.min(line.get_ydata())) for line in axes.lines if len(line.get_ydata()))


@pytest.mark.parametrize("values", [[1, 0.1, 0.0], [0.0, 5.0], [1.0, -2.0, 0.0], [-1.0, -10.0]])
def test_a_logarithmic_axis_shows_zeros_and_what_is_below(store, values):
    begun(store, "a", loss=values)
    axes = mm.plots.curves(store.runs(), "loss", log_y=True, log_x=True)
    shown, lowest = drawn_below(axes)
    assert lowest == min(values)
    assert shown <= lowest
    assert axes.get_yscale() == axes.get_xscale() == "symlog"
    assert axes.get_xlim()[0] <= 0
    if min(values) >= 0:
        assert shown > -0.1 * max(values)


def test_a_logarithmic_axis_of_what_is_above_zero_is_one(store):
    begun(store, "a", loss=[10.0, 0.1])
    assert mm.plots.curves(store.runs(), "loss", log_y=True).get_yscale() == "log"


def test_intervals_of_few_runs_say_so(store):
    for number in range(24):
        begun(store, f"r{number}", {"size": "few" if number < 3 else "many", "part": number // 12}, acc=[number / 24])
    few = store.compare_groups(store.runs().groupby("params.size"), ["acc"])
    assert "fewer than 10 runs is too narrow" in repr(few)
    assert "too narrow" in few._repr_html_()
    assert "too narrow" in few.to_dict()["caveat"]
    assert "too narrow" in mm.plots.compare(few).get_xlabel()
    many = store.compare_groups(store.runs().groupby("params.part"), ["acc"])
    assert many.caveat == ""
    assert "too narrow" not in repr(many)
    assert mm.plots.compare(many).get_xlabel() == "acc"
