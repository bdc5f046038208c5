"""Models: kept and loaded, against joblib; and a look at one that is loaded already."""

from __future__ import annotations

import os
from collections.abc import Callable
from itertools import count
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

import modelmgmt as mm
from benchmarks.measure import Figure, Scale, folder, in_turns

BASELINE = (
    "`joblib.dump` and `joblib.load` of the same fitted object. joblib syncs nothing: beside it, the same with the file "
    "synced to disk, which is what a logged model promises. Each is logged with an example, its signature, requirements "
    "and links, signed, read back, and loaded with its hash checked. A model that is one array bounds the rest: to hash its "
    "bytes alone takes about twice what joblib takes to read it."
)
_LOOKS = 2_000


def run(place: Path, scale: Scale) -> list[Figure]:
    is_quick = scale.repeats == 1
    large, small = _forest(5 if is_quick else 60, 500 if is_quick else 20_000), _pipeline()
    with folder(place) as here, mm.Store(here / "store") as store, store.start_run("models") as training:
        keys = os.environ.get("MODELMGMT_CONFIG")
        os.environ["MODELMGMT_CONFIG"] = str(here / "keys")  # not the user's own
        try:
            return [
                *_figures(store, training, here, large, "a forest", max(scale.repeats, 1), small=False),
                *_figures(store, training, here, small, "a small pipeline", 3 * scale.repeats, small=True),
                *(_loaded(store, training, here, kind, is_quick, scale.repeats) for kind in _OTHERS),
                _look(store, training, small),
            ]
        finally:
            os.environ.pop("MODELMGMT_CONFIG")
            if keys is not None:
                os.environ["MODELMGMT_CONFIG"] = keys


def _figures(
    store: mm.Store, training: mm.Run, here: Path, fitted: tuple[Any, Any], name: str, repeats: int, *, small: bool
) -> list[Figure]:
    import joblib

    (model, example), numbers, file = fitted, count(), here / "model.joblib"
    last = model[-1] if hasattr(model, "steps") else model

    def log(verify: bool | None = None) -> None:
        last.random_state = next(numbers)  # another model each time, or the store would not write it
        training.log_model(model, "model", input_example=example, verify=verify)

    def dump_synced() -> None:
        joblib.dump(model, file)
        with file.open("rb") as written:
            os.fsync(written.fileno())

    def load() -> None:
        mm.load_model(f"run:{training.id}/model", store=store, cached=False)

    log()  # what is imported once is not a model's cost
    load()
    calls: dict[str, Callable[[], object]] = {
        "log": log, "log unread": lambda: log(verify=False), "dump": lambda: joblib.dump(model, file),
        "dump synced": dump_synced, "load": load, "joblib load": lambda: joblib.load(file),
    }  # fmt: skip
    taken = in_turns(calls, repeats)
    ms = {key: f"{value * 1000:.1f} ms" for key, value in taken.items()}
    size = f"{name}, {file.stat().st_size / 1e6:.1f} MB"
    figures = [
        Figure(
            f"log_model of {name} / joblib.dump and load", taken["log"] / (taken["dump"] + taken["joblib load"]),
            None if small else 3, "lower", f"{ms['log']} / {ms['dump']} and {ms['joblib load']}; {size}",
        ),
        Figure(
            f"log_model of {name}, unread / joblib.dump", taken["log unread"] / taken["dump"], None if small else 3,
            "lower", f"{ms['log unread']} / {ms['dump']}",
        ),
        Figure(
            f"log_model of {name}, unread / joblib.dump, synced", taken["log unread"] / taken["dump synced"], None, "lower",
            f"{ms['log unread']} / {ms['dump synced']}",
        ),
        Figure(
            f"load_model of {name} / joblib.load", taken["load"] / taken["joblib load"], None if small else 3, "lower",
            f"{ms['load']} / {ms['joblib load']}",
        ),
    ]  # fmt: skip
    if small:
        both = taken["log"] + taken["load"]
        figures.append(
            Figure(f"log_model and load_model of {name} / 50 ms", both / 0.05, 1, "lower", f"{both * 1e3:.1f} ms")
        )
    return figures


def _loaded(store: mm.Store, training: mm.Run, here: Path, kind: str, is_quick: bool, repeats: int) -> Figure:
    """Other large models: each is kept once and loaded often."""
    import joblib

    model, file = _OTHERS[kind](300 if is_quick else 20_000), here / "other.joblib"
    logged = training.log_model(model, "other")
    joblib.dump(model, file)
    calls: dict[str, Callable[[], object]] = {
        "load": lambda: mm.load_model(logged.reference, store=store, cached=False),
        "joblib load": lambda: joblib.load(file),
    }
    taken = in_turns(calls, 2 * repeats)
    detail = f"{taken['load'] * 1e3:.1f} ms / {taken['joblib load'] * 1e3:.1f} ms; {file.stat().st_size / 1e6:.1f} MB"
    return Figure(f"load_model of {kind} / joblib.load", taken["load"] / taken["joblib load"], 3, "lower", detail)


def _look(store: mm.Store, training: mm.Run, fitted: tuple[Any, Any]) -> Figure:
    training.log_model(fitted[0], "model", register_as="churn")
    store.models["churn"].set_alias("live", 1)
    mm.load_model("churn@live", store=store)
    begin = perf_counter()
    for _ in range(_LOOKS):
        mm.load_model("churn@live", store=store)
    each = (perf_counter() - begin) / _LOOKS
    return Figure("load_model of churn@live, loaded already / 1 ms", each / 1e-3, 1, "lower", f"{each * 1e6:.0f} us")


def _forest(trees: int, rows: int) -> tuple[Any, Any]:
    from sklearn.datasets import make_classification
    from sklearn.ensemble import RandomForestClassifier

    data, labels = make_classification(rows, 30, n_informative=15, flip_y=0.2, random_state=0)
    return RandomForestClassifier(trees, random_state=0).fit(data, labels), data[:5]


def _data(rows: int) -> tuple[Any, Any]:
    from sklearn.datasets import make_classification

    return make_classification(rows, 30, n_informative=15, flip_y=0.2, random_state=0)  # type: ignore[no-any-return]


def _scaled_forest(rows: int) -> Any:
    from sklearn.ensemble import RandomForestRegressor
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    data, labels = _data(rows)
    return make_pipeline(StandardScaler(), RandomForestRegressor(10, random_state=0)).fit(data, labels + data[:, 0])


def _boosted(rows: int) -> Any:
    from sklearn.ensemble import GradientBoostingClassifier

    data, labels = _data(rows // 3)
    return GradientBoostingClassifier(n_estimators=45, max_depth=14, random_state=0).fit(data, labels)


def _neighbours(rows: int) -> Any:
    from sklearn.neighbors import KNeighborsClassifier

    return KNeighborsClassifier(algorithm="brute").fit(*_data(3 * rows))


_OTHERS: dict[str, Callable[[int], Any]] = {
    "a scaled forest": _scaled_forest,
    "boosted trees": _boosted,
    "neighbours, one array": _neighbours,
}


def _pipeline() -> tuple[Any, Any]:
    import pandas as pd
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    data = pd.DataFrame(np.random.default_rng(0).random((500, 20))).rename(columns=str)
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(data, data["0"] > 0.5)
    return model, data[:5]
