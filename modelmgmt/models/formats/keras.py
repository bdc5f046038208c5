"""Keras, in its own `.keras` archive, read in Keras's safe mode and only when all its classes are Keras's own or named."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any
from zipfile import BadZipFile, ZipFile

from modelmgmt.errors import CorruptDataError, UntrustedModelError
from modelmgmt.models.formats import CannotHoldError, Files, Saved, libraries_of, reading, require, saving
from modelmgmt.models.packaging.archive import check_archive
from modelmgmt.models.trust import refused

NAME = "keras"
EXECUTES = False
NEEDS = ("keras",)
FILE = "model.keras"
_FOREIGN = {"Lambda", "__lambda__", "TorchModuleWrapper", "TFSMLayer", "JaxLayer", "FlaxLayer"}
"""Layers that are no building blocks: bytecode, a pickle of torch, programs in files elsewhere. Older releases of Keras
read some of them in their safe mode, too."""
_FUNCTIONS = {"activations", "initializers", "losses", "metrics"}
_CLASSES = _FUNCTIONS | {
    "constraints", "dtype_policies", "keras", "layers", "models", "optimizers", "quantizers", "random", "regularizers",
}  # fmt: skip
"""The parts of Keras that a model is built of. Others have functions that download or write files."""

_CONFIG_LIMIT = 64 << 20  # bytes


def accepts(model: Any) -> bool:
    return "keras" in libraries_of(model) and hasattr(model, "get_config") and hasattr(model, "predict")


def save(model: Any, folder: Path) -> Saved:
    require("keras", "keras")
    if not accepts(model):
        raise CannotHoldError(f"a {type(model).__name__} is not a Keras model")
    with saving("Keras"):
        model.save(folder / FILE)
    foreign = {name.rpartition(".")[0] for name in foreign_names(folder)}
    return Saved(frozenset({"keras", _backend()} | foreign) - {"", "__main__"}, {})


def load(files: Files, options: Mapping[str, Any], trusted: Collection[str] | None) -> Any:
    del options
    if FILE not in files.names():
        raise CorruptDataError(f"The package has no file {FILE}: it is not a Keras model.")
    foreign = foreign_names(files.folder())
    refused.check_names(foreign)
    names = sorted(foreign - set(trusted or ()))
    reason = files.distrust() if names and trusted is None else None
    if names and (trusted is not None or reason is not None):
        because = "" if reason is None else f" The package is not trusted: {reason}"
        raise UntrustedModelError(
            f"The model contains classes that are not part of Keras: {', '.join(names)}. Look at them, and when they are "
            f"yours, load it with trust={names!r}.{because}"
        )
    keras = require("keras", "keras")
    with reading("Keras", ValueError, TypeError, KeyError):
        return keras.saving.load_model(files.folder() / FILE, safe_mode=True)


def unreviewed(files: Files) -> set[str]:
    """The names in the archive beyond those of Keras. Makes nothing."""
    return foreign_names(files.folder())


def foreign_names(folder: Path) -> set[str]:
    """What the archive would have Keras look up outside itself, by full name; and Lambda layers, which are bytecode."""
    check_archive(folder / FILE)
    try:
        with ZipFile(folder / FILE) as archive:
            if archive.getinfo("config.json").file_size > _CONFIG_LIMIT:
                raise CorruptDataError("The description of the Keras model is larger than 64 MiB.")
            config = json.loads(archive.read("config.json"))
    except (BadZipFile, KeyError, ValueError, RecursionError) as error:
        raise CorruptDataError(f"The file {FILE} of the model is not a Keras archive ({error}).") from error
    return set(_foreign(config))


def _foreign(config: Any) -> Iterator[str]:
    todo = [config]
    while todo:
        item = todo.pop()
        if isinstance(item, list):
            todo += item
        elif isinstance(item, dict):
            todo += item.values()
            if "class_name" in item and not _is_own(item):
                yield f"{item.get('module') or item.get('registered_name')}.{_name(item)}"


def _is_own(item: Mapping[str, Any]) -> bool:
    """Whether it is a building block of Keras itself: not any function that Keras has, and no bytecode in the file."""
    registered = str(item.get("registered_name") or "").partition(">")[0]
    parts = str(item.get("module") or "keras").removeprefix("keras.src.").removeprefix("keras.").split(".")
    allowed = _FUNCTIONS if item["class_name"] == "function" else _CLASSES
    return parts[0] in allowed and _name(item) not in _FOREIGN and registered in {"", "keras", _name(item), "function"}


def _name(item: Mapping[str, Any]) -> str:
    name = item.get("class_name")
    return str(item.get("config")) if name == "function" else str(name)


def predict(model: Any, data: Any, method: str) -> Any:
    if method == "predict":
        return model.predict(getattr(data, "to_numpy", lambda: data)(), verbose=0)
    return getattr(model, method)(data)


def _backend() -> str:
    import keras

    name: str = keras.config.backend()
    return name
