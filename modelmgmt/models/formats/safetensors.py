"""Arrays by name, in the format of safetensors: numpy arrays, a torch `state_dict`, the weights of a torch module.

Of a module only the weights are kept: `load_model(reference, into=Net(...))` fills one that the caller has built.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from importlib import import_module
from io import BytesIO
from pathlib import Path
from typing import Any

from modelmgmt.errors import CorruptDataError, InvalidTypeError
from modelmgmt.models.formats import (
    CannotHoldError,
    Files,
    Saved,
    class_name,
    libraries_of,
    library_of,
    require,
    saving,
)

NAME = "safetensors"
EXECUTES = False
NEEDS = ("safetensors",)
FILE = "model.safetensors"

_SINGLE = "array"
_KINDS = "biufc"


def accepts(model: Any) -> bool:
    if isinstance(model, Mapping):
        kinds = {_library(value) for value in model.values()}
        return bool(model) and kinds in ({"numpy"}, {"torch"}) and all(isinstance(name, str) for name in model)
    return is_module(model) or _library(model) in {"numpy", "torch"}


def is_module(model: Any) -> bool:
    """Whether this is a torch module; torch is not loaded to see that."""
    return "torch" in libraries_of(model) and hasattr(model, "state_dict") and hasattr(model, "forward")


def save(model: Any, folder: Path) -> Saved:
    require("safetensors", "'modelmgmt[models]'")
    arrays, holds = _arrays(model)
    library = "torch" if any(_library(value) == "torch" for value in arrays.values()) else "numpy"
    options: dict[str, Any] = {"library": library, "holds": holds}
    modules = {library}
    if holds == "module":
        options["class"] = class_name(model)
        modules.add(type(model).__module__)
    if library == "torch":
        arrays, options["same_as"] = _without_repeats(arrays)
    with saving("safetensors"):
        _library_of_files(library).save_file(arrays, folder / FILE)
    return Saved(frozenset(modules) - {"__main__"}, options)


def load(files: Files, options: Mapping[str, Any], trusted: Collection[str] | None) -> Any:
    del trusted
    require("safetensors", "'modelmgmt[models]'")
    from safetensors import SafetensorError

    if options.get("library") not in ("numpy", "torch"):
        raise CorruptDataError(f"The package names the library {options.get('library')!r}: numpy and torch are known.")
    try:
        arrays = _read(files, _library_of_files(options["library"]))
    except SafetensorError as error:
        raise CorruptDataError(f"The file {FILE} of the model is not a safetensors file ({error}).") from error
    try:
        arrays |= {name: arrays[other] for name, other in options.get("same_as", {}).items()}
        return arrays[_SINGLE] if options["holds"] == "array" else arrays
    except (KeyError, TypeError, AttributeError) as error:
        raise CorruptDataError(f"model.json names weights that are not in {FILE} ({error}).") from error


def unlike(model: Any, loaded: Any) -> str:
    """How loaded arrays differ from those of the model, which they are not, but its weights; empty when they do not."""
    import numpy as np

    is_several = is_module(model) or isinstance(model, Mapping)
    expected = (model.state_dict() if is_module(model) else model) if is_several else {_SINGLE: model}
    found = loaded if is_several else {_SINGLE: loaded}
    if expected.keys() != found.keys():
        return f"the names are {sorted(expected)} and {sorted(found)}"
    for name, value in expected.items():
        if _library(value) == "torch":
            save = _library_of_files("torch").save
            is_same = save({"": value.detach().contiguous()}) == save(
                {"": found[name].contiguous()}
            )  # NaN is NaN there
        elif type(value) not in (np.ndarray, np.memmap):
            return f"{name!r} is a {type(value).__name__} and becomes an array"
        else:
            native = [array.dtype.newbyteorder("=") for array in (value, found[name])]
            is_same = native[0] == native[1] and np.array_equal(value, found[name], equal_nan=value.dtype.kind in "fc")
        if not is_same:
            return f"{name!r} has other values"
    return ""


def fill(model: Any, arrays: Any, what: str) -> Any:
    """Put a state dict into a module that the caller has built. Raises InvalidTypeError when it does not fit."""
    if not is_module(model) or not isinstance(arrays, Mapping):
        raise InvalidTypeError(f"into= takes a torch module for weights of torch, and {what} is something else.")
    try:
        model.load_state_dict(arrays)
    except RuntimeError as error:
        raise InvalidTypeError(f"The weights of {what} do not fit a {type(model).__name__}: {error}") from error
    return model.eval()


def predict(model: Any, data: Any, method: str) -> Any:
    """A module's forward pass without gradients: arrays in, arrays out; what else it has by name likewise."""
    if not is_module(model):
        raise InvalidTypeError(
            "These are weights, and weights predict nothing: load them with load_model(reference, into=Net(...)), or take "
            ".model, the arrays by name."
        )
    import torch

    call = model if method == "predict" and not hasattr(model, "predict") else getattr(model, method)
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad():
            return _plain(call(_tensor(data)))
    finally:
        model.train(was_training)


def _tensor(data: Any) -> Any:
    import numpy as np
    import torch

    if isinstance(data, torch.Tensor):
        return data
    if isinstance(data, Mapping):
        return {name: _tensor(value) for name, value in data.items()}
    array = np.asarray(data)
    return torch.from_numpy(array if array.flags.writeable else array.copy())


def _plain(output: Any) -> Any:
    if isinstance(output, Mapping):
        return {name: _plain(value) for name, value in output.items()}
    if isinstance(output, (tuple, list)):
        return type(output)(_plain(value) for value in output)
    return output.detach().cpu().numpy() if hasattr(output, "detach") else output


def _read(files: Files, library: Any) -> Any:
    with files.open(FILE) as file:
        if isinstance(file, BytesIO):
            return library.load(file.getvalue())
    return library.load_file(files.folder() / FILE)  # mapped into memory, not read into it twice


def _library_of_files(library: str) -> Any:
    return import_module("safetensors.torch" if library == "torch" else "safetensors.numpy")


def _library(value: Any) -> str:
    """numpy or torch for an array of numbers, else empty."""
    library = library_of(value)
    if library == "numpy" and hasattr(value, "nbytes") and value.dtype.kind in _KINDS:
        return "numpy"
    return "torch" if "torch" in libraries_of(value) and hasattr(value, "untyped_storage") else ""


def _arrays(model: Any) -> tuple[dict[str, Any], str]:
    import numpy as np

    if is_module(model):
        arrays, holds = dict(model.state_dict()), "module"
    elif isinstance(model, Mapping):
        arrays, holds = dict(model), "arrays"
    else:
        arrays, holds = {_SINGLE: model}, "array"
    odd = [name for name, value in arrays.items() if not _library(value)]
    if odd:
        raise CannotHoldError(
            f"{odd[0]!r} is a {type(arrays[odd[0]]).__name__}, and safetensors stores arrays of numbers"
        )
    return {n: np.ascontiguousarray(v) if isinstance(v, np.ndarray) and v.ndim else v for n, v in arrays.items()}, holds


def _without_repeats(arrays: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """Tied weights are kept once: (what is kept, the names of the others and which of the kept they are)."""
    kept: dict[str, Any] = {}
    same_as: dict[str, str] = {}
    first: dict[Any, str] = {}
    storages: set[int] = set()
    for name, value in arrays.items():
        place = (value.data_ptr(), tuple(value.shape), tuple(value.stride()), value.dtype) if value.numel() else name
        storage = value.untyped_storage().data_ptr()
        if place in first:
            same_as[name] = first[place]
            continue
        first[place] = name
        # A view of what is kept already would be refused: it is copied.
        kept[name] = value.detach().clone().contiguous() if storage in storages else value.detach().contiguous()
        storages.add(storage)
    return kept, same_as
