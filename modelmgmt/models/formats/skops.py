"""scikit-learn, in the format of skops: nothing runs but the constructors of types that are known or named."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any
from zipfile import BadZipFile, ZipFile

from modelmgmt.errors import CorruptDataError, UntrustedModelError
from modelmgmt.models.formats import CannotHoldError, Saved, libraries_of, plain_predict, require

NAME = "skops"
EXECUTES = False
NEEDS = ("skops",)
FILE = "model.skops"

REVIEWED = frozenset(
    {
        "sklearn.ensemble._hist_gradient_boosting.binning._BinMapper",
        "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
        "sklearn.tree._tree.Tree",
    }
)
"""Types of scikit-learn that skops does not know by itself. Each was read: it builds itself of arrays and numbers."""

_modules = re.compile(rb'"__module__": "([\w.]+)"')


def accepts(model: Any) -> bool:
    return "sklearn" in libraries_of(model) and not isinstance(model, type)


def save(model: Any, folder: Path) -> Saved:
    io = require("skops.io", "'modelmgmt[models]'")
    try:
        io.dump(model, folder / FILE)
    except OSError:
        raise
    except Exception as error:  # skops passes on what the model's own methods raise
        raise CannotHoldError(f"skops can not hold it ({type(error).__name__}: {error})") from error
    with ZipFile(folder / FILE) as archive:
        modules = {name.decode() for name in set(_modules.findall(archive.read("schema.json")))}
    if "__main__" in modules:
        raise CannotHoldError("a class or function in it is defined in __main__, which no other process has")
    return Saved(frozenset(modules), {})


def load(folder: Path, options: Mapping[str, Any], trusted: Collection[str] | None) -> Any:
    del options
    io = require("skops.io", "'modelmgmt[models]'")
    from skops.io.exceptions import UntrustedTypesFoundException

    try:
        return io.load(folder / FILE, trusted=sorted(REVIEWED.union(trusted or ())))
    except UntrustedTypesFoundException as error:
        names = sorted(set(io.get_untrusted_types(file=folder / FILE)) - REVIEWED - set(trusted or ()))
        raise UntrustedModelError(
            f"The model is built of types that nobody has vouched for: {', '.join(names)}. Look at them, and when they "
            f"are yours, load it with trust={names!r}."
        ) from error
    except (BadZipFile, json.JSONDecodeError) as error:
        raise CorruptDataError(f"The file {FILE} of the model is no skops file ({error}).") from error


def predict(model: Any, data: Any, method: str) -> Any:
    return plain_predict(model, data, method)
