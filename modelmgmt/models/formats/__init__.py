"""How a model becomes files: one file for each format, behind one seam, chosen by what the model is.

A format never runs code that a file names unless it says `EXECUTES`; a package of such a format is loaded only after
the caller's trust was asked for.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol

from modelmgmt import packaged
from modelmgmt.errors import CorruptDataError, InvalidTypeError, InvalidValueError, MissingExtraError, ModelmgmtError

if TYPE_CHECKING:
    from modelmgmt.packaged import Code


class Files(Protocol):
    """The files of one model."""

    code: Code | None
    """The modules of the package that its names stand for; None when they are those of this process."""

    def names(self) -> list[str]:
        """Their paths."""

    def read(self, name: str) -> bytes:
        """One of them, whole. Raises CorruptDataError when it is not there or not what was written."""

    def open(self, name: str) -> BinaryIO:
        """One of them, open for reading anywhere in it."""

    def view(self, name: str) -> memoryview:
        """One of them, in memory whole, or mapped there: for those who look at parts of much.

        Where it may be written to, it is the caller's, who may make an array of it; else it is not to be kept.
        """

    def folder(self) -> Path:
        """A folder that holds all of them, for libraries that read paths. It is gone when the model is loaded."""

    def are_trusted(self) -> bool:
        """Whether they are signed under a key that the user trusts: only then counts what their writer says of them."""

    def distrust(self) -> str | None:
        """Why the caller does not trust them, as the rest of a sentence; None when the caller does.

        A format that runs no code asks before it makes types beyond those that are known to be harmless.
        """


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

        For a format that executes, None says that trust was decided, and names ask for its restricted reader. Another
        format makes types that are not known to be harmless when they are named, or, without any names, when the caller
        trusts the files (`files.distrust`).
        """

    def predict(self, model: Any, data: Any, method: str) -> Any:
        """What the model says of the data, as numpy arrays or the library's own frames."""


def unreviewed(found: Format, files: Files) -> frozenset[str]:
    """The types that a model's files name beyond those that everybody may have made: nobody's without trust.

    Empty for a format whose files name no types, and for one that executes, of which names would say little.
    """
    of_files = getattr(found, "unreviewed", None)
    return frozenset() if of_files is None else frozenset(of_files(files))


class CannotHoldError(ModelmgmtError, TypeError):
    """The format has no room for this model; the sentence says why."""


NAMES = (
    "huggingface", "keras", "xgboost", "lightgbm", "catboost", "onnx", "skops", "safetensors", "cloudpickle",
)  # fmt: skip
"""In the order in which they are asked: the last takes anything."""


def get(name: str) -> Format:
    """The format of that name. Raises InvalidValueError."""
    if name not in NAMES:
        raise InvalidValueError(f"There is no model format {name!r}; the formats are {', '.join(NAMES)}.")
    module: Any = import_module(f"modelmgmt.models.formats.{name}")
    return module  # type: ignore[no-any-return]


def choose(model: Any) -> Format:
    """The safest format that a model of this kind is kept in."""
    return next(found for found in map(get, NAMES) if found.accepts(model))


def candidates(model: Any) -> list[Format]:
    """All formats for a model of this kind, the safest first. What holds weights alone is none for want of a better one."""
    first, *others = (found for found in map(get, NAMES) if found.accepts(model))
    return [first, *(found for found in others if found.NAME != "safetensors")]


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
    return f"{packaged.original(named.__module__)}.{named.__qualname__}"


@dataclass(frozen=True, slots=True)
class OwnClasses:
    """The classes that the own format of a library holds; a package names one of them."""

    module: str
    """Of the library, which is also what pip calls it."""
    title: str
    names: frozenset[str]

    def accepts(self, model: Any) -> bool:
        """Whether the model is of one of them, and of no class derived from it elsewhere."""
        return library_of(model) == self.module and type(model).__name__ in self.names

    def check(self, model: Any) -> None:
        """Raises CannotHoldError for a model of another class."""
        if not self.accepts(model):
            known = ", ".join(sorted(self.names))
            raise CannotHoldError(f"its format can store {known}, not a {type(model).__name__}")

    def named(self, options: Mapping[str, Any]) -> tuple[Any, Any]:
        """The library, and the class that a package names. Raises MissingExtraError, CorruptDataError."""
        library, name = require(self.module, self.module), options.get("class")
        if not isinstance(name, str) or name not in self.names:
            raise CorruptDataError(f"The package names the class {name!r}, which is not a class of {self.title}.")
        return library, getattr(library, name)


@contextmanager
def saving(by: str) -> Iterator[None]:
    """Turn whatever a library, or a method of the model that it calls, raises into CannotHoldError; not OSError."""
    try:
        yield
    except (OSError, CannotHoldError):
        raise
    except Exception as error:
        raise CannotHoldError(f"{by} cannot store it ({type(error).__name__}: {error})") from error


@contextmanager
def reading(by: str, *errors: type[Exception]) -> Iterator[None]:
    """Turn what a library raises for bytes that are no model of its own into CorruptDataError."""
    try:
        yield
    except errors as error:
        raise CorruptDataError(f"{by} cannot read the model ({str(error).partition(chr(10))[0][:300]}).") from error


def require(module: str, extra: str) -> Any:
    """The module, or an error that says what to install."""
    try:
        return import_module(module)
    except ImportError as error:
        raise MissingExtraError(f"This model needs {module.partition('.')[0]}: pip install {extra}.") from error


def plain_predict(model: Any, data: Any, method: str) -> Any:
    """A model's own method; `predict` of what has none is a call. Raises InvalidTypeError."""
    found = getattr(model, method, None)
    if found is not None:
        return found(data)
    if method == "predict" and callable(model):
        return model(data)
    raise InvalidTypeError(f"A {type(model).__name__} has no {method} method: use .model, which is the model itself.")
