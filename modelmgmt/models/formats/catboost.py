"""CatBoost, in its own binary format (cbm)."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from modelmgmt.errors import CorruptDataError
from modelmgmt.models.formats import CannotHoldError, Saved, library_of, plain_predict, require
from modelmgmt.models.packaging.files import Files

NAME = "catboost"
EXECUTES = False
NEEDS = ("catboost",)
FILE = "model.cbm"

CLASSES = frozenset({"CatBoost", "CatBoostClassifier", "CatBoostRanker", "CatBoostRegressor"})


def accepts(model: Any) -> bool:
    return library_of(model) == "catboost" and type(model).__name__ in CLASSES


def save(model: Any, folder: Path) -> Saved:
    if not accepts(model):
        raise CannotHoldError(f"its own format holds {', '.join(sorted(CLASSES))}, not a {type(model).__name__}")
    from catboost import CatBoostError

    try:
        model.save_model(str(folder / FILE))
    except CatBoostError as error:
        raise CannotHoldError(f"CatBoost can not save it ({error})") from error
    return Saved(frozenset({"catboost"}), {"class": type(model).__name__})


def load(files: Files, options: Mapping[str, Any], trusted: Collection[str] | None) -> Any:
    del trusted
    catboost = require("catboost", "catboost")
    if options.get("class") not in CLASSES:
        raise CorruptDataError(f"The package names the class {options.get('class')!r}, which is none of CatBoost's.")
    try:
        return getattr(catboost, options["class"])().load_model(blob=files.read(FILE))
    except catboost.CatBoostError as error:
        raise CorruptDataError(f"CatBoost can not read the model ({error}).") from error


def predict(model: Any, data: Any, method: str) -> Any:
    return plain_predict(model, data, method)
