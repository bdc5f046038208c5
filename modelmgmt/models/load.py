"""Loading: the bytes are verified, the caller's trust is asked for where it matters, and then the model is read.

Writes nothing in the store: weights are copied, verified, to a private folder, and read there.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from modelmgmt.errors import InvalidTypeError, InvalidValueError, MissingCodeError, ModelmgmtError, printable, warn
from modelmgmt.models import formats
from modelmgmt.models.packaging import readback, requirements
from modelmgmt.models.packaging.code import code_of_package
from modelmgmt.models.packaging.enforce import enforce
from modelmgmt.models.packaging.example import difference
from modelmgmt.models.packaging.files import PackageFiles
from modelmgmt.models.packaging.package import PLATFORM, PYTHON, WEIGHTS, Package, read_package
from modelmgmt.models.packaging.signature import Mode, Signature
from modelmgmt.models.registry.reference import resolve
from modelmgmt.models.trust.decision import Trust, check_trust, decide, restricted_names

if TYPE_CHECKING:
    from modelmgmt.store.kernel import Kernel

CACHED = 8
"""Models that stay loaded in one process; the one that was used longest ago goes first."""


@dataclass(frozen=True)
class LoadedModel:
    """A model that was loaded: `.model` is the object itself, `predict` asks it and holds the data to its signature.

    >>> from sklearn.linear_model import LinearRegression
    >>> with start_run("doc") as run:
    ...     logged = run.log_model(LinearRegression().fit([[0.0], [1.0]], [0.0, 2.0]), "line", input_example=[[0.5]])
    >>> line = mm.load_model(logged.reference)
    >>> line.predict([[2.0]]).round(6).tolist()
    [4.0]
    """

    model: Any
    package: Package

    @property
    def signature(self) -> Signature | None:
        return self.package.signature

    def predict(self, data: Any, *, method: str = "predict", mode: Mode | None = None) -> Any:
        """What the model says of `data`, `(n_samples, ...)`, which is held to the signature first.

        `method` names another of its methods (`predict_proba`, `transform`). `mode` overrides the signature's own:
        `strict`, `coerce` or `off`. Raises SignatureError, which names the column and both types.
        """
        signature = self.signature
        if signature is not None:
            data = enforce(signature, data, mode)
        return formats.get(self.package.format).predict(self.model, data, method)

    def predict_proba(self, data: Any, *, mode: Mode | None = None) -> Any:
        """The probabilities of the classes, `(n_samples, n_classes)`."""
        return self.predict(data, method="predict_proba", mode=mode)

    def check_example(self) -> str:
        """How what the model says of its example differs from what it said when it was logged; empty when it does not.

        Raises InvalidValueError when the package has no example with an output.
        """
        example = self.package.example
        if example is None or example.output is None:
            raise InvalidValueError("The model has no input example with an output to check against.")
        return difference(example.output, self.predict(example.input, method=example.method))

    def __repr__(self) -> str:
        return printable(f"<LoadedModel {self.package.name} {self.package.class_name} {self.package.digest[:12]}>")


def load_model(
    kernel: Kernel,
    reference: str,
    *,
    trust: Trust = None,
    into: Any = None,
    cached: bool = True,
    loaded_type: type[LoadedModel] = LoadedModel,
) -> LoadedModel:
    """See `modelmgmt.load_model`."""
    digest = resolve(kernel, reference).digest
    return load_digest(kernel, digest, trust=trust, into=into, cached=cached, loaded_type=loaded_type)


def load_digest(
    kernel: Kernel,
    digest: str,
    *,
    trust: Trust = None,
    into: Any = None,
    cached: bool = True,
    loaded_type: type[LoadedModel] = LoadedModel,
) -> LoadedModel:
    """The model of a package. Raises UntrustedModelError, CorruptDataError, and what its library raises."""
    key = (str(kernel.path), digest, _trust_key(trust), loaded_type)
    if into is not None or not cached:
        return loaded_type(*_load(kernel, digest, trust, into))
    found = _cache.get(key)
    if found is None:
        with _cache.loading(key):
            found = _cache.get(key) or loaded_type(*_load(kernel, digest, trust, None))
            _cache.put(key, found)
    return found


def _load(kernel: Kernel, digest: str, trust: Trust, into: Any) -> tuple[Any, Package]:
    check_trust(digest, trust)
    package = read_package(kernel, digest)
    found = formats.get(package.format)
    if found.EXECUTES and restricted_names(trust) is None:
        decide(kernel, package, trust)
    code = code_of_package(kernel, package, trust) if package.code else None
    _warn_of_versions(package)
    with PackageFiles(kernel, package, WEIGHTS, trust=trust, code=code) as files:
        try:
            model = found.load(files, package.options, restricted_names(trust))
        except (ImportError, AttributeError) as error:
            if isinstance(error, ModelmgmtError):
                raise
            raise _missing_code(package, error) from error
        others = _others(package)
        if others and into is None:
            _check_example(package, model, others)
            if found.EXECUTES:  # any class may count how often it was asked
                model = found.load(files, package.options, restricted_names(trust))
    if into is not None:
        model = _filled(package, into, model)
    return model, package


def _missing_code(package: Package, error: Exception) -> MissingCodeError:
    has_code = (
        f" The model contains the code of {', '.join(package.code)}."
        if package.code
        else " The model has no project code in it."
    )
    needs = ", ".join((*requirements.differing(package.requirements), *package.local_requirements)) or "none"
    return MissingCodeError(
        f"The model {package.name}, a {package.class_name}, needs a module that cannot be imported: {error}.{has_code} "
        f"Install it, or put it on the path. Distributions that differ from those of the model: {needs}."
    )


def _warn_of_versions(package: Package) -> None:
    """Other versions of a library may read a model, and say other things with it."""
    differing = requirements.differing(package.requirements)
    if differing:
        warn(f"The model {package.name} was made with other versions than are installed: {'; '.join(differing)}.")


def _others(package: Package) -> list[str]:
    """What is not here as it was where the model was logged: libraries, Python, the platform."""
    content, found = package.content, requirements.differing(package.requirements)
    for title, here in (("python", PYTHON), ("platform", PLATFORM)):
        if content.get(title) not in (None, here):
            found.append(f"{title} {content[title]}, {here} here")
    return found


def _check_example(package: Package, model: Any, others: Sequence[str]) -> None:
    """Warn when the model does not answer its example as it did where it was logged. One that is random is not asked."""
    verified = package.verified
    try:
        example = package.example
        if example is None or example.output is None or (verified.loads and example.method not in verified.same):
            return
        data = example.input if package.signature is None else enforce(package.signature, example.input)
        found = formats.get(package.format)
        answers = (readback.answer(found, model, data, example.method) for _ in range(3))
        said = difference(example.output, next(answers))
        if not said or any(difference(example.output, value) != said for value in answers):
            return
        said = f"{example.method}: {said}"
    except Exception as error:  # noqa: BLE001 - the model's own, or of a library that has changed; the model is loaded
        said = f"{type(error).__name__}: {error}"
    warn(
        f"The model {package.name} does not answer its input example as it did when it was logged ({said}). "
        f"What differs: {'; '.join(others)}."
    )


def _filled(package: Package, into: Any, arrays: Any) -> Any:
    from modelmgmt.models.formats import safetensors

    if package.format != safetensors.NAME:
        raise InvalidTypeError(f"into= takes a torch module for weights, and this model is stored as {package.format}.")
    return safetensors.fill(into, arrays, package.name)


def _trust_key(trust: Trust) -> Any:
    return trust if trust is None or isinstance(trust, (bool, str)) else restricted_names(trust)


class _Cache:
    """Loaded models by (store, digest, trust): what a digest names never changes, so nothing is ever stale."""

    def __init__(self, room: int) -> None:
        self._room = room
        self._lock = threading.Lock()
        self._models: OrderedDict[Any, LoadedModel] = OrderedDict()
        self._loading: dict[Any, threading.RLock] = {}

    def get(self, key: Any) -> LoadedModel | None:
        with self._lock:
            if key in self._models:
                self._models.move_to_end(key)
            return self._models.get(key)

    def put(self, key: Any, model: LoadedModel) -> None:
        with self._lock:
            self._models[key] = model
            self._models.move_to_end(key)
            self._loading.pop(key, None)
            while len(self._models) > self._room:
                self._models.popitem(last=False)

    def loading(self, key: Any) -> threading.RLock:
        """What those who load the same model wait for: it is loaded once."""
        with self._lock:
            return self._loading.setdefault(key, threading.RLock())

    def clear(self) -> None:
        with self._lock:
            self._models.clear()


_cache = _Cache(CACHED)


def forget_loaded() -> None:
    """Let go of every model that is kept loaded in this process."""
    _cache.clear()
