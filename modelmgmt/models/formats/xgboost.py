"""XGBoost, in its own JSON; the parameters and fitted attributes of its scikit-learn classes as plain values beside it."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from modelmgmt.errors import InvalidTypeError
from modelmgmt.models.formats import Files, OwnClasses, Saved, plain_predict, reading, saving, wrapper_state

NAME = "xgboost"
EXECUTES = False
NEEDS = ("xgboost",)
FILE = "xgboost.json"

CLASSES = OwnClasses(
    "xgboost", "XGBoost",
    frozenset({"Booster", "XGBClassifier", "XGBRegressor", "XGBRanker", "XGBRFClassifier", "XGBRFRegressor"}),
)  # fmt: skip
accepts = CLASSES.accepts
_NATIVE = ("handle", "_Booster")
_OF_THE_MACHINE = {"device", "n_jobs", "nthread", "fail_on_invalid_gpu_id"}


def save(model: Any, folder: Path) -> Saved:
    CLASSES.check(model)
    name = type(model).__name__
    with saving("XGBoost"):
        booster = model if name == "Booster" else model.get_booster()
        booster.save_model(folder / FILE)
        attributes = {key: value for key, value in vars(model).items() if key not in _NATIVE}
        wrapper_state.write(folder, attributes, training=_training(booster))
    return Saved(frozenset({"xgboost"} if name == "Booster" else {"xgboost", "sklearn"}), {"class": name})


def load(files: Files, options: Mapping[str, Any], trusted: Collection[str] | None) -> Any:
    del trusted
    xgboost, kind = CLASSES.named(options)
    booster = xgboost.Booster()
    with reading("XGBoost", xgboost.core.XGBoostError, TypeError, ValueError):
        booster.load_model(bytearray(files.read(FILE)))
        state = wrapper_state.read(files)
        booster.set_param([(str(name), str(value)) for name, value in state.of("training", list)])
    model = booster if kind is xgboost.Booster else kind()
    vars(model).update({key: value for key, value in state.attributes.items() if key not in _NATIVE})
    if model is not booster:
        model._Booster = booster  # noqa: SLF001 - XGBoost has no other way to set it and leave the parameters alone
    return model


def predict(model: Any, data: Any, method: str) -> Any:
    if type(model).__name__ != "Booster":
        return plain_predict(model, data, method)
    import xgboost

    if method != "predict":
        raise InvalidTypeError(f"A Booster has no {method} method: use .model, which is the model itself.")
    if isinstance(data, xgboost.DMatrix):
        return model.predict(data)
    types = model.feature_types
    has_categories = types is not None and "c" in types
    # A frame says itself which of its columns are categories; of an array only the booster knows.
    types = None if hasattr(data, "columns") else types
    return model.predict(xgboost.DMatrix(data, feature_types=types, enable_categorical=has_categories))


def _training(booster: Any) -> list[list[str]]:
    """The parameters by which `update` of a booster goes on as before: they are in no model file of XGBoost."""
    learner = json.loads(booster.save_config())["learner"]
    trees = learner["gradient_booster"].get("gbtree", learner["gradient_booster"])
    params = learner["generic_param"] | trees.get("tree_train_param", {})
    found = [[name, value] for name, value in params.items() if name not in _OF_THE_MACHINE]
    # A metric with parameters of its own is that of an objective, which has them.
    return found + [["eval_metric", metric["name"]] for metric in learner["metrics"] if metric.keys() == {"name"}]
