"""Reading back: a model that was just written is loaded from its bytes, and must answer the example as the original does.

The bytes are the caller's own, so no trust is asked for, and nothing that is decided here holds for a later load.
Writes nothing.
"""

from __future__ import annotations

import copy
import random
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from modelmgmt.errors import InvalidTypeError
from modelmgmt.models.formats import CannotHoldError, Format, Saved
from modelmgmt.models.packaging.code import code_of_project
from modelmgmt.models.packaging.example import difference
from modelmgmt.models.packaging.files import FolderFiles
from modelmgmt.models.packaging.project import project_code
from modelmgmt.models.packaging.signature import is_records, normal
from modelmgmt.models.trust.allowed import reviewed_names
from modelmgmt.packaged import PREFIX, original

MUCH, LONG = 1 << 30, 60.0  # bytes written, seconds of writing; what takes more is read back only when it is asked for

METHODS = ("predict", "transform", "kneighbors", "score_samples", "mahalanobis")
"""The first of them that a model has is what it answers an example by."""
_SCORES = ("predict_proba", "decision_function", "score_samples")
"""The first of them that a model has is asked, too: it sees what a class or a sign does not."""
_ASKS = 8  # of a model that has answered otherwise than its copy, until it contradicts itself


class UnlikeError(CannotHoldError):
    """What was written does not load, or does not answer as the model does."""


@dataclass(frozen=True, slots=True)
class Verified:
    """What `log_model` has checked of the bytes that it wrote."""

    loads: bool
    """Whether the model was loaded from them."""
    same: tuple[str, ...] = ()
    """The methods whose answers to the example are the same; of a model without any, its fitted attributes."""
    reason: str = ""
    """Why no more was checked."""

    def __str__(self) -> str:
        same = f"loads with the same {', '.join(self.same)}" if self.same else "loads"
        done = same if self.loads else "not read back"
        return f"{done} ({self.reason})" if self.reason else done


@dataclass(frozen=True, slots=True)
class Answers:
    """What a model says of an example, by method; `error` is what it raised instead."""

    data: Any
    """What it was asked with: rows that are mappings are a table for a model that does not take them."""
    by_method: Mapping[str, Any] = field(default_factory=dict)
    error: Exception | None = None

    @property
    def method(self) -> str | None:
        """The one whose answer is kept as the expected output."""
        return next((name for name in self.by_method if name in METHODS), None)


def unread_reason(folder: Path, seconds: float, verify: bool | None) -> str:
    """Why what was written to the folder, in so many seconds, is not read back; empty when it is."""
    if verify is not None:
        return "" if verify else "verify=False was given"
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    if size > MUCH:
        return f"it has {size / 1e9:.1f} GB, and verify=True was not given"
    return f"writing took {seconds:.0f} s, and verify=True was not given" if seconds > LONG else ""


def has_foreign(modules: Iterable[str]) -> bool:
    """Whether there are modules of others than the well-known libraries, whose models do not change when they are asked."""
    return not {name.partition(".")[0] for name in modules} <= _libraries()


@cache
def _libraries() -> frozenset[str]:
    deep = {"jax", "keras", "onnx", "onnxruntime", "safetensors", "tensorflow", "torch", "transformers"}
    return frozenset(name.partition(".")[0] for name in reviewed_names()) | deep | sys.stdlib_module_names


def load_written(found: Format, folder: Path, saved: Saved, *, with_secrets: bool = False) -> Any:
    """The model that the bytes hold, as another process would get it. Raises UnlikeError."""
    load = getattr(found, "load_apart", found.load)
    code = code_of_project(project_code(saved.modules), with_secrets=with_secrets)
    try:
        try:
            return load(FolderFiles(folder, is_trusted=True, code=code), saved.options, None)
        except Exception:
            if code is None or any(name.startswith(PREFIX) for name in saved.modules):
                raise
            # A module may refuse to be imported twice in a process, and another process will import it once.
            return load(FolderFiles(folder, is_trusted=True), saved.options, None)
    except Exception as error:
        raise UnlikeError(f"what was written cannot be loaded ({_said(error)})") from error


def ask(found: Format, model: Any, data: Any, *, may_be_table: bool = False) -> Answers:
    """What the model says of the data; None for no data.

    `may_be_table`: rows that are mappings stand for a table, where the model does not take them as they are.
    """
    answers = _ask(found, model, data)
    if answers.method is None and may_be_table and is_records(data):
        answers = _ask(found, model, normal(data))
    return answers


def _ask(found: Format, model: Any, data: Any) -> Answers:
    answers: dict[str, Any] = {}
    for method in METHODS if data is not None else ():
        try:
            answers[method] = answer(found, model, data, method)
            break
        except InvalidTypeError:
            continue  # it has no such method
        except Exception as error:  # noqa: BLE001 - the model's own; a model that is kept is worth more than its example
            return Answers(data, error=error)
    for method in _SCORES if answers else ():
        try:
            if method not in answers and hasattr(model, method):
                answers[method] = answer(found, model, data, method)
                break
        except Exception:  # noqa: BLE001, S112 - what it does not answer by is not compared
            continue
    return Answers(data, answers or _fitted(model))


def answer(found: Format, model: Any, data: Any, method: str) -> Any:
    """What one method says of a copy of the data; random numbers go on as if it had not been asked."""
    with _random_numbers_kept():
        return found.predict(model, _copy(data), method)


def check(found: Format, model: Any, loaded: Any, expected: Answers) -> Verified:
    """Compare what was loaded with the model. Raises UnlikeError, which says in what they differ, and by how much.

    A model that contradicts itself (it draws random numbers, or counts its calls) is not compared.
    """
    of_arrays = getattr(found, "unlike", None)
    if of_arrays is not None:
        said = of_arrays(model, loaded)
        if said:
            raise UnlikeError(f"what was written is something else: {said}")
        return Verified(loads=True, same=("arrays",))
    if expected.error is not None:
        return Verified(loads=True, reason="it failed on its input example")
    data = expected.data
    same, reason = [], "" if expected.by_method else "no input example" if data is None else "no method to ask"
    for method, value in expected.by_method.items():
        try:
            said = _unlike(value, _ask_again(found, loaded, data, method))
        except Exception as error:
            if _is_fickle(found, model, data, method, value):
                return Verified(loads=True, reason="its answers change from call to call")
            raise UnlikeError(f"{method} of what was written fails ({_said(error)})") from error
        if said and _is_fickle(found, model, data, method, value):
            return Verified(loads=True, reason="its answers change from call to call")
        if said:
            raise UnlikeError(f"what was written answers otherwise ({method}: {said})")
        if said is None:
            reason = "answers of a kind that cannot be compared"
        else:
            same.append(method)
    return Verified(loads=True, same=tuple(same), reason=reason)


def _is_fickle(found: Format, model: Any, data: Any, method: str, first: Any) -> bool:
    """Whether the model says something else when it is asked again."""
    try:
        return any(_unlike(first, _ask_again(found, model, data, method)) for _ in range(_ASKS))
    except Exception:  # noqa: BLE001 - the model's own, and it had answered before
        return True


def _ask_again(found: Format, model: Any, data: Any, method: str) -> Any:
    return getattr(model, method) if method.endswith("_") else answer(found, model, data, method)


def _unlike(expected: Any, found: Any) -> str | None:
    """How they differ; None where that cannot be said."""
    kinds = [f"{original(type(value).__module__)}.{type(value).__qualname__}" for value in (expected, found)]
    if kinds[0] != kinds[1]:
        return f"{kinds[0]} became {kinds[1]}"
    if isinstance(expected, str | bytes):
        return "" if expected == found else "it is another text"
    try:
        return difference(expected, found)
    except Exception:  # noqa: BLE001 - of objects of any kind
        return None


def _fitted(model: Any) -> dict[str, Any]:
    """What a model that nobody can ask (DBSCAN, TSNE) has learnt: its fitted attributes that are arrays."""
    if callable(model) or any(hasattr(model, name) for name in METHODS):
        return {}
    attributes = getattr(model, "__dict__", {})
    return {
        name: value
        for name, value in attributes.items()
        if isinstance(name, str)
        and name.endswith("_")
        and not name.startswith("_")
        and type(value).__name__ == "ndarray"
    }


@contextmanager
def _random_numbers_kept() -> Iterator[None]:
    import numpy as np

    torch = sys.modules.get("torch")
    states = random.getstate(), np.random.get_state(legacy=False), torch and torch.get_rng_state()  # noqa: NPY002 - the global one
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])  # noqa: NPY002
        if torch is not None:
            torch.set_rng_state(states[2])


def _copy(data: Any) -> Any:
    """A model may write to what it is given (`copy=False`); what cannot be copied is given as it is."""
    try:
        return copy.deepcopy(data)
    except Exception:  # noqa: BLE001 - of the objects in the data
        return data


def _said(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:500].rstrip('.')}"
