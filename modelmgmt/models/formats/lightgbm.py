"""LightGBM, in its own text format; what its Python objects know besides is kept as plain values beside it.

All iterations are kept, also those after the best one. The data that a booster was trained on is no part of it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from modelmgmt.errors import CorruptDataError
from modelmgmt.models.formats import (
    CannotHoldError,
    Files,
    OwnClasses,
    Saved,
    plain_predict,
    reading,
    saving,
    wrapper_state,
)

NAME = "lightgbm"
EXECUTES = False
NEEDS = ("lightgbm",)
FILE = "model.txt"

CLASSES = OwnClasses("lightgbm", "LightGBM", frozenset({"Booster", "LGBMClassifier", "LGBMRegressor", "LGBMRanker"}))
accepts = CLASSES.accepts
_DATA = ("train_set", "valid_sets")
_MADE = ("_Booster", "_le")


def save(model: Any, folder: Path) -> Saved:
    CLASSES.check(model)
    name = type(model).__name__
    is_booster = name == "Booster"
    if not is_booster and not model.__sklearn_is_fitted__():
        raise CannotHoldError("it is not fitted, and LightGBM's format stores fitted models only")
    with saving("LightGBM"):
        booster = model if is_booster else model.booster_
        booster.save_model(folder / FILE, num_iteration=-1)
        attributes = {} if is_booster else {key: value for key, value in vars(model).items() if key not in _MADE}
        wrapper_state.write(folder, attributes, booster=_kept(vars(booster)))
    return Saved(frozenset({"lightgbm"} if is_booster else {"lightgbm", "sklearn"}), {"class": name})


def load(files: Files, options: Mapping[str, Any], trusted: Collection[str] | None) -> Any:
    del trusted
    lightgbm, kind = CLASSES.named(options)
    with reading("LightGBM", lightgbm.basic.LightGBMError):
        booster = lightgbm.Booster(model_str=files.read(FILE).decode())
    state = wrapper_state.read(files)
    try:
        vars(booster).update(_kept(state.of("booster", dict)))
        if kind is lightgbm.Booster:
            return booster
        model = kind()
        vars(model).update({key: value for key, value in state.attributes.items() if key not in _MADE})
        model._Booster = booster  # noqa: SLF001 - LightGBM has no other way to make one that is fitted
        if model._classes is not None:  # noqa: SLF001
            model._le = lightgbm.compat._LGBMLabelEncoder().fit(model._classes)  # noqa: SLF001
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        message = f"The file {wrapper_state.FILE} of the model is damaged ({type(error).__name__}: {error})."
        raise CorruptDataError(message) from error
    return model


def predict(model: Any, data: Any, method: str) -> Any:
    return plain_predict(model, data, method)


def _kept(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """What a booster knows beside its text: the best iteration, its parameters. What is private goes with its handle."""
    return {key: value for key, value in attributes.items() if not key.startswith("_") and key not in _DATA}
