"""XGBoost, in its own JSON."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from modelmgmt.errors import CorruptDataError, InvalidTypeError
from modelmgmt.models.formats import CannotHoldError, Saved, library_of, plain_predict, require
from modelmgmt.models.packaging.files import Files

NAME = "xgboost"
EXECUTES = False
NEEDS = ("xgboost",)
FILE = "xgboost.json"

CLASSES = frozenset(
    {
        "Booster", "XGBClassifier", "XGBRegressor", "XGBRanker", "XGBRFClassifier", "XGBRFRegressor",
    }
)  # fmt: skip


def accepts(model: Any) -> bool:
    return library_of(model) == "xgboost" and type(model).__name__ in CLASSES


def save(model: Any, folder: Path) -> Saved:
    require("xgboost", "xgboost")
    if not accepts(model):
        raise CannotHoldError(f"its own format holds {', '.join(sorted(CLASSES))}, not a {type(model).__name__}")
    try:
        model.save_model(folder / FILE)
    except OSError:
        raise
    except Exception as error:  # XGBoostError, NotFittedError and others
        raise CannotHoldError(f"XGBoost can not save it ({error})") from error
    return Saved(
        frozenset({"xgboost"} | ({"sklearn"} if type(model).__name__ != "Booster" else set())), _options(model)
    )


def _options(model: Any) -> dict[str, Any]:
    return {"class": type(model).__name__}


def load(files: Files, options: Mapping[str, Any], trusted: Collection[str] | None) -> Any:
    del trusted
    xgboost = require("xgboost", "xgboost")
    if options.get("class") not in CLASSES:
        raise CorruptDataError(f"The package names the class {options.get('class')!r}, which is none of XGBoost's.")
    model = getattr(xgboost, options["class"])()
    try:
        model.load_model(bytearray(files.read(FILE)))
    except xgboost.core.XGBoostError as error:
        raise CorruptDataError(f"XGBoost can not read the model ({str(error).partition(chr(10))[0]}).") from error
    return model


def predict(model: Any, data: Any, method: str) -> Any:
    if type(model).__name__ != "Booster":
        return plain_predict(model, data, method)
    import xgboost

    if method != "predict":
        raise InvalidTypeError(f"A Booster has no {method}: use .model, which is the object itself.")
    return model.predict(data if isinstance(data, xgboost.DMatrix) else xgboost.DMatrix(data))
