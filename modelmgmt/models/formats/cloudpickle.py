"""Any Python object or function, as a pickle: loading it runs what its writer wanted, so trust is asked for first."""

from __future__ import annotations

import pickle
from collections.abc import Collection, Iterable, Mapping
from itertools import chain
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

from modelmgmt import packaged
from modelmgmt.models.formats import CannotHoldError, Files, Saved, plain_predict
from modelmgmt.models.formats.pickled_names import original_names, reader_of
from modelmgmt.models.packaging.project import imported_by

NAME = "cloudpickle"
EXECUTES = True
NEEDS = ("cloudpickle",)
FILE = "model.pkl"


def accepts(model: Any) -> bool:
    del model
    return True


def save(model: Any, folder: Path) -> Saved:
    """Written straight to the file. The modules that it refers to are noted on the way: they cost no second reading."""
    import cloudpickle

    seen: set[str] = set()

    class Noting(cloudpickle.CloudPickler):  # type: ignore[misc]
        def reducer_override(self, obj: Any) -> Any:
            seen.update(_modules_of(obj))
            return super().reducer_override(obj)

    try:
        with (folder / FILE).open("wb") as file:
            Noting(file, protocol=5).dump(model)
    except OSError:
        raise
    except Exception as error:  # whatever the model's own methods raise
        raise CannotHoldError(
            f"it cannot be pickled ({type(error).__name__}: {error}): remove open files, locks, connections and "
            "generators from it"
        ) from error
    if any(name.startswith(packaged.PREFIX) for name in seen):
        (folder / FILE).write_bytes(original_names((folder / FILE).read_bytes()))
    return Saved(frozenset(seen) - {"", "__main__"}, {})


def load(files: Files, options: Mapping[str, Any], trusted: Collection[str] | None) -> Any:
    """Runs what the pickle says, for those whom the caller trusts; with names, makes objects of these types alone."""
    del options
    if trusted is not None:
        from modelmgmt.models.trust.pickle_reader import load_restricted

        return load_restricted(files.read(FILE), trusted, code=files.code)
    with files.open(FILE) as file:
        if files.code is not None:
            return reader_of(files.code)(file).load()
        return pickle.load(file)  # noqa: S301 - trust was decided before


def load_apart(files: Files, options: Mapping[str, Any], trusted: Collection[str] | None) -> Any:
    """As another process loads it: a class that is in the file as a whole is made anew.

    Loaded plainly, cloudpickle would take the class that this process has, and overwrite its methods and attributes.
    """
    del options, trusted
    import cloudpickle

    plain: Any = pickle.Unpickler if files.code is None else reader_of(files.code)

    class Apart(plain):  # type: ignore[misc]
        def find_class(self, module: str, name: str, /) -> Any:
            found = super().find_class(module, name)
            if module != cloudpickle.cloudpickle.__name__ or name not in _TRACKED:
                return found
            return lambda *args: found(*args[:-2], None, args[-1])  # the last but one says which class of here it is

    with files.open(FILE) as file:
        return Apart(file).load()


_TRACKED = {"_make_skeleton_class", "_make_skeleton_enum"}


def predict(model: Any, data: Any, method: str) -> Any:
    return plain_predict(model, data, method)


def _modules_of(value: Any) -> Iterable[str]:
    """The modules that a pickle refers to by this part of it."""
    from cloudpickle.cloudpickle import _should_pickle_by_reference as is_by_name

    if isinstance(value, ModuleType):
        return (value.__name__,)
    module = (getattr(value, "__module__", None) or "",) if hasattr(value, "__qualname__") else ()
    if not isinstance(value, type | FunctionType) or is_by_name(value):
        return module
    imported = imported_by(value) if isinstance(value, FunctionType) else ()
    return chain(imported, (name for name in module if name.startswith(packaged.PREFIX)))
