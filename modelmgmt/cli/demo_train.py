"""The training of `modelmgmt demo`: a script as anybody would write one. `python demo_train.py --group mine` runs it.

The command puts a copy of this file into the working folder and runs that, so that the runs know the code that made
them and can be reproduced.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.linear_model import SGDClassifier
from sklearn.metrics import accuracy_score, confusion_matrix, log_loss
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import modelmgmt as mm

EPOCHS = 25
GRIDS: dict[str, dict[str, list[Any]]] = {
    "breast-cancer": {"model": ["logistic-sgd"], "alpha": [1e-4, 1e-2], "learning_rate": [0.001, 0.01, 0.1]},
    "digits": {"model": ["mlp"], "hidden": [16, 64], "learning_rate": [0.001, 0.01, 0.1]},
}


def main() -> None:
    """Train every combination of every grid."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--group", required=True, help="the group of the runs")
    parser.add_argument("--quiet", action="store_true", help="show no progress")
    chosen = parser.parse_args()
    console = Console(stderr=True, quiet=chosen.quiet)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    jobs = [(name, params) for name, grid in GRIDS.items() for params in combinations(grid)]
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("training", total=len(jobs) * EPOCHS)
        for name, params in jobs:
            brief = ", ".join(f"{key}={value}" for key, value in params.items() if key != "model")
            progress.update(task, description=f"{name} {brief}")
            train(name, params, chosen.group, lambda: progress.advance(task))


def combinations(grid: dict[str, list[Any]]) -> list[dict[str, Any]]:
    """Every choice of one value for each param."""
    return [dict(zip(grid, values, strict=True)) for values in product(*grid.values())]


def train(name: str, params: dict[str, Any], group: str, advance: Callable[[], object]) -> None:
    """One run."""
    train, test, frame = load_data(name)
    classes = np.unique(train[1])
    settings = {**params, "epochs": EPOCHS, "seed": 0}
    with mm.start_run(f"demo/{name}", params=settings, tags={"data": name}, group=group) as run:
        run.log_dataset(frame, name, keep=True)
        model = make_model(params)
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
        run.log_figure(draw_confusion(test[1], unseen.argmax(axis=1), name), "confusion")
        run.log_model(model, "model", input_example=test[0][:5], register_as=name)


def load_data(name: str) -> tuple[Any, Any, Any]:
    """(train, test, the whole frame); train and test are (X, y)."""
    bunch = load_breast_cancer(as_frame=True) if name == "breast-cancer" else load_digits(as_frame=True)
    x_train, x_test, y_train, y_test = train_test_split(
        bunch.data.to_numpy(), bunch.target.to_numpy(), test_size=0.3, random_state=0, stratify=bunch.target
    )
    return (x_train, y_train), (x_test, y_test), bunch.frame


def make_model(params: dict[str, Any]) -> Any:
    if params["model"] == "mlp":
        classifier: Any = MLPClassifier((params["hidden"],), learning_rate_init=params["learning_rate"], random_state=0)
    else:
        classifier = SGDClassifier(
            "log_loss", alpha=params["alpha"], learning_rate="constant", eta0=params["learning_rate"], random_state=0
        )
    return make_pipeline(StandardScaler(), classifier)


def draw_confusion(truth: Any, predicted: Any, name: str) -> Any:
    counts = confusion_matrix(truth, predicted)
    figure = Figure(figsize=(4.5, 4), layout="constrained")
    axes = figure.add_subplot()
    axes.imshow(counts, cmap="Blues")
    for (row, column), count in np.ndenumerate(counts):
        axes.text(
            column, row, str(count), ha="center", va="center", color="white" if count > counts.max() / 2 else "black"
        )
    axes.set(title=f"{name}: test set", xlabel="predicted", ylabel="true")
    axes.set_xticks(range(len(counts)))
    axes.set_yticks(range(len(counts)))
    return figure


if __name__ == "__main__":
    main()
