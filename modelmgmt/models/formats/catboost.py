"""CatBoost, in its own binary format (cbm)."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from modelmgmt.models.formats import OwnClasses, Saved, plain_predict, reading, saving
from modelmgmt.models.packaging.files import Files

NAME = "catboost"
EXECUTES = False
NEEDS = ("catboost",)
FILE = "model.cbm"

CLASSES = OwnClasses(
    "catboost", "CatBoost", frozenset({"CatBoost", "CatBoostClassifier", "CatBoostRanker", "CatBoostRegressor"})
)
accepts = CLASSES.accepts


def save(model: Any, folder: Path) -> Saved:
    CLASSES.check(model)
    with saving("CatBoost"):
        model.save_model(str(folder / FILE))
    return Saved(frozenset({"catboost"}), {"class": type(model).__name__})


def load(files: Files, options: Mapping[str, Any], trusted: Collection[str] | None) -> Any:
    del trusted
    catboost, kind = CLASSES.named(options)
    with reading("CatBoost", catboost.CatBoostError):
        return kind().load_model(blob=files.read(FILE))


def predict(model: Any, data: Any, method: str) -> Any:
    return plain_predict(model, data, method)
