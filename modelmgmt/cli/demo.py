"""modelmgmt demo: real data, real models, everything kept."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from itertools import product
from pathlib import Path
from typing import Any

import click

from modelmgmt.cli.options import DONE, json_option, print_json, print_table, store_option
from modelmgmt.errors import InvalidValueError
from modelmgmt.front import Runs, Store

EPOCHS = 25
GROUP_FORMAT = "demo-%Y%m%dT%H%M%SZ"

_GRIDS: dict[str, dict[str, list[Any]]] = {
    "breast-cancer": {"model": ["logistic-sgd"], "alpha": [1e-4, 1e-2], "learning_rate": [0.001, 0.01, 0.1]},
    "digits": {"model": ["mlp"], "hidden": [16, 64], "learning_rate": [0.001, 0.01, 0.1]},
}


@click.command("demo")
@click.option(
    "--output", type=click.Path(path_type=Path), default=".", help="The folder for the picture and the report."
)
@store_option
@json_option
def command(output: Path, store_path: Path | None, as_json: bool) -> int:
    """Train twelve scikit-learn models on two real data sets, each as a run; then compare them.

    Keeps params, metrics of every epoch, a figure, the data and the model of each run in the store, prints the runs and
    the best of them, and writes a picture of the curves and an HTML report. Takes some seconds.
    """
    _require_sklearn()
    output.mkdir(parents=True, exist_ok=True)
    store = Store(store_path)
    group = datetime.now(UTC).strftime(GROUP_FORMAT)
    _train_all(store, group, quiet=as_json)
    results = {name: _results(store, name, group) for name in _GRIDS}
    picture, page = _draw(results, store, group, output)
    if as_json:
        best = {name: {"id": runs[0].id, "metrics": runs[0].metrics} for name, runs in results.items()}
        print_json({"store": str(store.path), "best": best, "curves": str(picture), "report": str(page)})
    else:
        _tell(results, store, picture, page)
    return DONE


def _require_sklearn() -> None:
    try:
        import sklearn  # noqa: F401
        import skops  # noqa: F401
    except ImportError as error:
        message = f"The demo trains scikit-learn models, and {error.name} is missing: pip install 'modelmgmt[demo]'."
        raise InvalidValueError(message) from error


def _train_all(store: Store, group: str, *, quiet: bool) -> None:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    console = Console(stderr=True, quiet=quiet)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    jobs = [(name, params) for name, grid in _GRIDS.items() for params in _combinations(grid)]
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("training", total=len(jobs) * EPOCHS)
        for name, params in jobs:
            progress.update(task, description=f"{name} {_brief(params)}")
            _train(store, name, params, group, lambda: progress.advance(task))


def _combinations(grid: dict[str, list[Any]]) -> list[dict[str, Any]]:
    return [dict(zip(grid, values, strict=True)) for values in product(*grid.values())]


def _brief(params: dict[str, Any]) -> str:
    return ", ".join(f"{key}={value}" for key, value in params.items() if key != "model")


def _train(store: Store, name: str, params: dict[str, Any], group: str, advance: Callable[[], object]) -> None:
    """One run. What a training script would do, too."""
    import numpy as np
    from sklearn.metrics import accuracy_score, log_loss

    train, test, frame = _data(name)
    classes = np.unique(train[1])
    settings = {**params, "epochs": EPOCHS, "seed": 0}
    with store.start_run(f"demo/{name}", params=settings, tags={"data": name}, group=group) as run:
        run.log_dataset(frame, name, keep=True)
        model = _model(params)
        for epoch in range(EPOCHS):
            model[-1].partial_fit(model[:-1].fit_transform(train[0]), train[1], classes=classes)
            seen, unseen = model.predict_proba(train[0]), model.predict_proba(test[0])
            run.log(
                {
                    "train/loss": log_loss(train[1], seen, labels=classes),
                    "test/loss": log_loss(test[1], unseen, labels=classes),
                    "test/accuracy": accuracy_score(test[1], unseen.argmax(axis=1)),
                },
                step=epoch,
            )
            advance()
        run.log_figure(_confusion(test[1], unseen.argmax(axis=1), name), "confusion")
        run.log_artifact(_as_bytes(model), "model.skops")


def _data(name: str) -> tuple[Any, Any, Any]:
    """(train, test, the whole frame); train and test are (X, y)."""
    from sklearn.datasets import load_breast_cancer, load_digits
    from sklearn.model_selection import train_test_split

    bunch = load_breast_cancer(as_frame=True) if name == "breast-cancer" else load_digits(as_frame=True)
    x_train, x_test, y_train, y_test = train_test_split(
        bunch.data.to_numpy(), bunch.target.to_numpy(), test_size=0.3, random_state=0, stratify=bunch.target
    )
    return (x_train, y_train), (x_test, y_test), bunch.frame


def _model(params: dict[str, Any]) -> Any:
    from sklearn.linear_model import SGDClassifier
    from sklearn.neural_network import MLPClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    if params["model"] == "mlp":
        classifier: Any = MLPClassifier((params["hidden"],), learning_rate_init=params["learning_rate"], random_state=0)
    else:
        classifier = SGDClassifier(
            "log_loss", alpha=params["alpha"], learning_rate="constant", eta0=params["learning_rate"], random_state=0
        )
    return make_pipeline(StandardScaler(), classifier)


def _confusion(truth: Any, predicted: Any, name: str) -> Any:
    from matplotlib.figure import Figure
    from sklearn.metrics import confusion_matrix

    counts = confusion_matrix(truth, predicted)
    figure = Figure(figsize=(4.5, 4), layout="constrained")
    axes = figure.add_subplot()
    axes.imshow(counts, cmap="Blues")
    for (row, column), count in _cells(counts):
        axes.text(
            column, row, str(count), ha="center", va="center", color="white" if count > counts.max() / 2 else "black"
        )
    axes.set(title=f"{name}: test set", xlabel="predicted", ylabel="true")
    axes.set_xticks(range(len(counts)))
    axes.set_yticks(range(len(counts)))
    return figure


def _cells(counts: Any) -> Any:
    import numpy as np

    return np.ndenumerate(counts)


def _as_bytes(model: Any) -> bytes:
    from skops.io import dumps

    data: bytes = dumps(model)
    return data


def _results(store: Store, name: str, group: str) -> Runs:
    return store.runs(
        f"run.experiment = 'demo/{name}' and run.group = '{group}'",
        order_by=["-metrics.`test/accuracy`", "metrics.`test/loss`"],
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
    everything = store.runs(f"run.group = '{group}'", order_by="-metrics.`test/accuracy`")
    best = everything[0]
    page = write_report(
        everything,
        output / "demo-report.html",
        title="modelmgmt demo",
        best=(best.id, f"highest test accuracy: {best.metrics['test/accuracy']:.4f}"),
        now=datetime.now(UTC),
    )
    return picture.resolve(), page.resolve()


def _tell(results: dict[str, Runs], store: Store, picture: Path, page: Path) -> None:
    from modelmgmt.view.tables import runs_table

    for name, runs in results.items():
        click.echo(f"\n{name}, best first")
        print_table(runs_table(runs.to_frame().drop(columns=["group", "tags.data"]), max_rows=None))
        best = runs[0]
        accuracy, loss = best.metrics["test/accuracy"], best.metrics["test/loss"]
        click.echo(f"Best run: {best.name} ({best.id}), test accuracy {accuracy:.4f}, test loss {loss:.4f}")
    best_two = [run.name for run in next(iter(results.values()))[:2]]
    click.echo(f"\nCurves: {picture}\nReport: {page}\nStore:  {store.path}\n\nNow try:")
    click.echo(f"  modelmgmt run {best_two[0]}\n  modelmgmt compare {' '.join(best_two)}")
    click.echo("  modelmgmt runs 'params.learning_rate > 0.001 and metrics.`test/accuracy` > 0.95'")
