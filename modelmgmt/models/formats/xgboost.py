"""XGBoost, in its own JSON."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from modelmgmt.errors import InvalidTypeError
from modelmgmt.models.formats import OwnClasses, Saved, plain_predict, reading, saving
from modelmgmt.models.packaging.files import Files

NAME = "xgboost"
EXECUTES = False
NEEDS = ("xgboost",)
FILE = "xgboost.json"

CLASSES = OwnClasses(
    "xgboost", "XGBoost",
    frozenset({"Booster", "XGBClassifier", "XGBRegressor", "XGBRanker", "XGBRFClassifier", "XGBRFRegressor"}),
)  # fmt: skip
accepts = CLASSES.accepts


def save(model: Any, folder: Path) -> Saved:
    CLASSES.check(model)
    with saving("XGBoost"):
        model.save_model(folder / FILE)
    name = type(model).__name__
    return Saved(frozenset({"xgboost"} if name == "Booster" else {"xgboost", "sklearn"}), {"class": name})


def load(files: Files, options: Mapping[str, Any], trusted: Collection[str] | None) -> Any:
    del trusted
    xgboost, kind = CLASSES.named(options)
    model = kind()
    with reading("XGBoost", xgboost.core.XGBoostError):
        model.load_model(bytearray(files.read(FILE)))
    return model


def predict(model: Any, data: Any, method: str) -> Any:
    if type(model).__name__ != "Booster":
        return plain_predict(model, data, method)
    import xgboost

    if method != "predict":
        raise InvalidTypeError(f"A Booster has no {method}: use .model, which is the object itself.")
    return model.predict(data if isinstance(data, xgboost.DMatrix) else xgboost.DMatrix(data))
