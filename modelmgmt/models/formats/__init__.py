"""How a model becomes files: one file for each format, behind one seam, chosen by what the model is.

A format never runs code that a file names unless it says `EXECUTES`; a package of such a format is loaded only after
the caller's trust was asked for.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

from modelmgmt.errors import InvalidTypeError, InvalidValueError, MissingExtraError, ModelmgmtError
from modelmgmt.models.packaging.files import Files


@dataclass(frozen=True, slots=True)
class Saved:
    """What a format says of the files that it wrote."""

    modules: frozenset[str]
    """The modules that what was written refers to: they must be there when it is loaded."""
    options: Mapping[str, Any]
    """What `load` needs beside the files; kept in `model.json`, so JSON's types."""


class Format(Protocol):
    """One way to keep a model; each is a module of this package."""

    NAME: str
    EXECUTES: bool
    """Whether loading a file of this format can run whatever its writer wanted."""
    NEEDS: tuple[str, ...]
    """The distributions that load it."""

    def accepts(self, model: Any) -> bool:
        """Whether this is a model of this format's kind. Loads no library: a model's library is loaded already."""

    def save(self, model: Any, folder: Path) -> Saved:
        """Write the model to the empty `folder`. Raises CannotHoldError when the format has no room for it."""

    def load(self, files: Files, options: Mapping[str, Any], trusted: Collection[str] | None) -> Any:
        """The model that `save` was given. `trusted` are exact names of types that the caller allows besides.

        For a format that executes, None says that trust was decided, and names ask for its restricted reader.
        """

    def predict(self, model: Any, data: Any, method: str) -> Any:
        """What the model says of the data, as numpy arrays or the library's own frames."""


class CannotHoldError(ModelmgmtError, TypeError):
    """The format has no room for this model; the sentence says why."""


NAMES = (
    "huggingface", "keras", "xgboost", "lightgbm", "catboost", "onnx", "skops", "safetensors", "cloudpickle",
)  # fmt: skip
"""In the order in which they are asked: the last takes anything."""


def get(name: str) -> Format:
    """The format of that name. Raises InvalidValueError."""
    if name not in NAMES:
        raise InvalidValueError(f"There is no format {name!r} for models; there are {', '.join(NAMES)}.")
    module: Any = import_module(f"modelmgmt.models.formats.{name}")
    return module  # type: ignore[no-any-return]


def choose(model: Any) -> Format:
    """The safest format that a model of this kind is kept in."""
    return next(found for found in map(get, NAMES) if found.accepts(model))


def library_of(model: Any) -> str:
    """The top-level module of a model's own class.

    >>> library_of({})
    'builtins'
    """
    return type(model).__module__.partition(".")[0]


def libraries_of(model: Any) -> frozenset[str]:
    """The top-level modules of a model's class and of its bases."""
    return frozenset(base.__module__.partition(".")[0] for base in type(model).__mro__)


def class_name(model: Any) -> str:
    """The full name of a model's class; of a function its own."""
    is_named = hasattr(model, "__qualname__") and hasattr(model, "__module__")
    named = model if is_named else type(model)
    return f"{named.__module__}.{named.__qualname__}"


def require(module: str, extra: str) -> Any:
    """The module, or an error that says what to install."""
    try:
        return import_module(module)
    except ImportError as error:
        raise MissingExtraError(f"This needs {module.partition('.')[0]}: pip install {extra}.") from error


def plain_predict(model: Any, data: Any, method: str) -> Any:
    """A model's own method; `predict` of what has none is a call. Raises InvalidTypeError."""
    found = getattr(model, method, None)
    if found is not None:
        return found(data)
    if method == "predict" and callable(model):
        return model(data)
    raise InvalidTypeError(f"A {type(model).__name__} has no {method}: use .model, which is the object itself.")
