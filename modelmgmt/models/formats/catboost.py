"""CatBoost, in its own binary format (cbm); what its Python objects know besides is kept as plain values beside it.

The predictions for the evaluation sets of the training (`get_test_evals`) are not kept: CatBoost has no way to set them,
and its own pickles lose them. The scores of these sets are kept.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from modelmgmt.models.formats import Files, OwnClasses, Saved, plain_predict, reading, saving, wrapper_state

NAME = "catboost"
EXECUTES = False
NEEDS = ("catboost",)
FILE = "model.cbm"

CLASSES = OwnClasses(
    "catboost", "CatBoost", frozenset({"CatBoost", "CatBoostClassifier", "CatBoostRanker", "CatBoostRegressor"})
)
accepts = CLASSES.accepts
_NATIVE = ("_object", "_canonized_params")  # the trees, and what is made of the parameters when it is asked for


def save(model: Any, folder: Path) -> Saved:
    CLASSES.check(model)
    with saving("CatBoost"):
        model.save_model(str(folder / FILE))
        attributes = {key: value for key, value in vars(model).items() if key not in _NATIVE}
        wrapper_state.write(folder, attributes)
    return Saved(frozenset({"catboost"}), {"class": type(model).__name__})


def load(files: Files, options: Mapping[str, Any], trusted: Collection[str] | None) -> Any:
    """Read by path: of bytes, CatBoost reads the trees alone, and answers on another scale (Poisson, Tweedie)."""
    del trusted
    catboost, kind = CLASSES.named(options)
    model = kind()
    with reading("CatBoost", catboost.CatBoostError):
        files.read(FILE)
        model.load_model(str(files.folder() / FILE))
    vars(model).update(
        {key: value for key, value in wrapper_state.read(files).attributes.items() if key not in _NATIVE}
    )
    return model


def predict(model: Any, data: Any, method: str) -> Any:
    return plain_predict(model, data, method)
