"""scikit-learn, in the format of skops: nothing runs but the constructors of types that are known or named."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any
from zipfile import BadZipFile, ZipFile

from modelmgmt.errors import CorruptDataError, UntrustedModelError
from modelmgmt.models.files import Files
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

_COMPACT = (",", ":")
_modules = re.compile(r'"__module__": ?"([\w.]+)"').findall


def accepts(model: Any) -> bool:
    return "sklearn" in libraries_of(model) and not isinstance(model, type)


def save(model: Any, folder: Path) -> Saved:
    require("skops.io", "'modelmgmt[models]'")
    try:
        schema = _dump(model, folder / FILE)
    except OSError:
        raise
    except Exception as error:  # skops passes on what the model's own methods raise
        raise CannotHoldError(f"skops can not hold it ({type(error).__name__}: {error})") from error
    modules = set(_modules(schema))
    if "__main__" in modules:
        raise CannotHoldError("a class or function in it is defined in __main__, which no other process has")
    return Saved(frozenset(modules), {})


def _dump(model: Any, path: Path) -> str:
    """Write what `skops.io.dump` writes, straight to the file, and return the schema.

    skops makes the whole archive in memory, and indents the schema of a large forest in Python: 4 times as slow. Its
    own function serves where a later skops has other insides.
    """
    try:
        from skops import __version__ as version
        from skops.io._persist import SaveContext, get_state
    except ImportError:
        from skops.io import dump

        dump(model, path)
        with ZipFile(path) as archive:
            return archive.read("schema.json").decode()
    with ZipFile(path, "w") as archive:
        context = SaveContext(zip_file=archive)
        state = get_state(model, context)
        schema = json.dumps({**state, "protocol": context.protocol, "_skops_version": version}, separators=_COMPACT)
        context.clear_memo()
        archive.writestr("schema.json", schema)
    return schema


def load(files: Files, options: Mapping[str, Any], trusted: Collection[str] | None) -> Any:
    del options
    io = require("skops.io", "'modelmgmt[models]'")
    from skops.io.exceptions import UntrustedTypesFoundException

    allowed = REVIEWED.union(trusted or ())
    try:
        with files.open(FILE) as file:
            return io.load(file, trusted=sorted(allowed))
    except UntrustedTypesFoundException as error:
        names = sorted(set(io.get_untrusted_types(data=files.read(FILE))) - allowed)
        raise UntrustedModelError(
            f"The model is built of types that nobody has vouched for: {', '.join(names)}. Look at them, and when they "
            f"are yours, load it with trust={names!r}."
        ) from error
    except (BadZipFile, json.JSONDecodeError) as error:
        raise CorruptDataError(f"The file {FILE} of the model is no skops file ({error}).") from error


def predict(model: Any, data: Any, method: str) -> Any:
    return plain_predict(model, data, method)
