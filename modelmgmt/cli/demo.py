"""modelmgmt demo: real data, real models, everything kept."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import click

from modelmgmt.cli.base import Command, Shown, answer, is_json, made_store
from modelmgmt.errors import InvalidValueError
from modelmgmt.front import Runs, Store

GROUP_FORMAT = "demo-%Y%m%dT%H%M%SZ"
SCRIPT = "demo_train.py"
DATA = ("breast-cancer", "digits")


@click.command("demo", cls=Command)
@click.option(
    "--output", "-o", type=click.Path(path_type=Path), default=".", metavar="FOLDER", show_default=True,
    help="The folder for the picture and the report.",
)  # fmt: skip
def command(output: Path) -> int:
    """Train twelve scikit-learn models on two data sets, and compare them.

    Each model is a run with params, metrics of every epoch, a figure, the data and
    the model. Prints the runs, best first, and writes a picture of the curves, an
    HTML report and the training script, demo_train.py. Makes the store when there is
    none. Takes some seconds.
    """
    _require_sklearn()
    output.mkdir(parents=True, exist_ok=True)
    store = made_store()
    group = datetime.now(UTC).strftime(GROUP_FORMAT)
    _train_all(store, group, output, quiet=is_json())
    results = {name: _results(store, name, group) for name in DATA}
    picture, page = _draw(results, store, group, output)
    best = {name: {"id": runs[0].id, "metrics": runs[0].metrics} for name, runs in results.items()}
    return answer(
        lambda: {"store": str(store.path), "best": best, "curves": str(picture), "report": str(page)},
        lambda: _shown(results, store, picture, page),
    )


def _require_sklearn() -> None:
    try:
        import sklearn  # noqa: F401
        import skops  # noqa: F401
    except ImportError as error:
        message = f"The demo trains scikit-learn models, and {error.name} is missing: pip install 'modelmgmt[demo]'."
        raise InvalidValueError(message) from error


def _train_all(store: Store, group: str, output: Path, *, quiet: bool) -> None:
    """Run the training as a script of its own, in the folder: its runs know the code that made them."""
    (output / SCRIPT).write_bytes(Path(__file__).with_name(SCRIPT).read_bytes())
    command = [sys.executable, SCRIPT, "--group", group, *(["--quiet"] if quiet else [])]
    done = subprocess.run(  # noqa: S603 - our own words
        command, cwd=output, env={**os.environ, "MODELMGMT_STORE": str(store.path)}, stdout=sys.stderr, check=False
    )
    if done.returncode != 0:
        raise InvalidValueError(f"The training ended with exit code {done.returncode}: its output above says why.")


def _results(store: Store, name: str, group: str) -> Runs:
    return store.runs(
        f"run.experiment = 'demo/{name}' and run.group = '{group}'",
        order_by=["-metrics.test/accuracy", "metrics.test/loss"],
    )


def _draw(results: dict[str, Runs], store: Store, group: str, output: Path) -> tuple[Path, Path]:
    from matplotlib.figure import Figure

    from modelmgmt.view import plots
    from modelmgmt.view.report import write_report

    figure = Figure(figsize=(13, 8), layout="constrained")
    grid = figure.subplots(len(results), 2, squeeze=False)
    for row, (name, runs) in zip(grid, results.items(), strict=True):
        for axes, key in zip(row, ("test/loss", "test/accuracy"), strict=True):
            plots.curves(runs, key, log_y=key.endswith("loss"), label="params.learning_rate", ax=axes)
            axes.set_title(f"{name}: {key}")
    picture = plots.save(list(grid.flat), output / "demo-curves.png")
    everything = store.runs(f"run.group = '{group}'", order_by="-metrics.test/accuracy")
    best = everything[0]
    page = write_report(
        everything,
        output / "demo-report.html",
        title="modelmgmt demo",
        best=(best.id, f"highest test accuracy: {best.metrics['test/accuracy']:.4f}"),
        now=datetime.now(UTC),
    )
    return picture.resolve(), page.resolve()


def _shown(results: dict[str, Runs], store: Store, picture: Path, page: Path) -> Iterator[Shown]:
    from modelmgmt.view.tables import runs_table

    for name, runs in results.items():
        yield f"\n{name}, best first"
        frame, _, _ = runs._shown_frame([])
        yield runs_table(frame.drop(columns=["group", "tags.data"]), max_rows=None)
        best = runs[0]
        accuracy, loss = best.metrics["test/accuracy"], best.metrics["test/loss"]
        yield f"Best run: {best.name} ({best.id}), test accuracy {accuracy:.4f}, test loss {loss:.4f}"
    first, second = [run.name for run in next(iter(results.values()))[:2]]
    yield f"\nCurves: {picture}\nReport: {page}\nStore:  {store.path}\n\nNow try:"
    yield f"  modelmgmt runs show {first}\n  modelmgmt runs compare {first} {second}"
    yield f"  modelmgmt runs reproduce {first}"
    yield f"  modelmgmt models show {next(iter(results))}"
    yield "  modelmgmt runs 'params.learning_rate > 0.001 and metrics.test/accuracy > 0.95'"
