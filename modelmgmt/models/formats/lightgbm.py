"""LightGBM, in its own text format; what its scikit-learn classes know besides is kept as plain values."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from modelmgmt.errors import CorruptDataError
from modelmgmt.models.formats import CannotHoldError, OwnClasses, Saved, plain_predict, reading
from modelmgmt.models.packaging.files import Files

NAME = "lightgbm"
EXECUTES = False
NEEDS = ("lightgbm",)
FILE = "model.txt"

CLASSES = OwnClasses("lightgbm", "LightGBM", frozenset({"Booster", "LGBMClassifier", "LGBMRegressor", "LGBMRanker"}))
accepts = CLASSES.accepts


def save(model: Any, folder: Path) -> Saved:
    CLASSES.check(model)
    options: dict[str, Any] = {"class": type(model).__name__}
    if options["class"] == "Booster":
        model.save_model(folder / FILE)
        return Saved(frozenset({"lightgbm"}), options)
    if not model.__sklearn_is_fitted__():
        raise CannotHoldError("it is not fitted, and LightGBM's own format holds fitted models")
    model.booster_.save_model(folder / FILE)
    options |= _state(model)
    return Saved(frozenset({"lightgbm", "sklearn"}), options)


def load(files: Files, options: Mapping[str, Any], trusted: Collection[str] | None) -> Any:
    del trusted
    lightgbm, kind = CLASSES.named(options)
    with reading("LightGBM", lightgbm.basic.LightGBMError):
        booster = lightgbm.Booster(model_str=files.read(FILE).decode())
    try:
        return booster if options["class"] == "Booster" else _rebuilt(lightgbm, kind, booster, options)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        message = (
            f"What model.json says of a {options['class']} is not what was written ({type(error).__name__}: {error})."
        )
        raise CorruptDataError(message) from error


def predict(model: Any, data: Any, method: str) -> Any:
    return plain_predict(model, data, method)


def _state(model: Any) -> dict[str, Any]:
    params = model.get_params(deep=False)
    odd = [name for name, value in params.items() if not isinstance(value, (str, int, float, bool, type(None)))]
    if odd:
        raise CannotHoldError(f"its parameter {odd[0]!r} is a {type(params[odd[0]]).__name__}, which is no plain value")
    state: dict[str, Any] = {"params": params, "n_features": model.n_features_in_}
    if hasattr(model, "classes_"):
        labels = model.classes_
        state["labels"] = {
            "dtype": "str" if labels.dtype.kind in "UO" else str(labels.dtype),
            "values": labels.tolist(),
        }
    return state


def _rebuilt(lightgbm: Any, kind: Any, booster: Any, options: Mapping[str, Any]) -> Any:
    """An estimator as `fit` leaves it. LightGBM has no way of its own to do so: these are the attributes that it sets."""
    import numpy as np

    model = kind(**options["params"])
    model._Booster = booster  # noqa: SLF001
    model._n_features = model._n_features_in = options["n_features"]  # noqa: SLF001
    model._objective = booster.params.get("objective", options["params"].get("objective"))  # noqa: SLF001
    model._best_iteration, model._best_score, model._evals_result = booster.best_iteration, {}, {}  # noqa: SLF001
    model.fitted_ = True
    if "labels" in options:
        about = options["labels"]
        labels = np.array(about["values"], None if about["dtype"] == "str" else about["dtype"])
        model._classes, model._n_classes = labels, len(labels)  # noqa: SLF001
        model._le = lightgbm.compat._LGBMLabelEncoder().fit(labels)  # noqa: SLF001
        model._class_map = dict(zip(labels, range(len(labels)), strict=True))  # noqa: SLF001
    return model
