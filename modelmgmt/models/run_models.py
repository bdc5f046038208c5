"""What a run knows of the models that it made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any, ClassVar

from modelmgmt.errors import InvalidTypeError
from modelmgmt.models.packaging import package as packages
from modelmgmt.models.packaging.links import links_of
from modelmgmt.models.packaging.signature import Signature
from modelmgmt.models.registry.naming import check_model_name
from modelmgmt.models.registry.registry import register
from modelmgmt.models.registry.versions import ModelVersion
from modelmgmt.models.trust import decision, signing
from modelmgmt.store.names import shown
from modelmgmt.tracking.artifacts import Kept

if TYPE_CHECKING:
    from modelmgmt.models.packaging.package import Package
    from modelmgmt.store.kernel import Kernel
    from modelmgmt.tracking.guard import Guard
    from modelmgmt.tracking.record import RunRecord
    from modelmgmt.tracking.steps.results import Vouching


@dataclass(frozen=True, repr=False)
class LoggedModel:
    """What `log_model` returns. `package` is None when the disk refused it and the run goes on without."""

    run: str
    name: str
    package: Package | None = None
    version: ModelVersion | None = None

    def __repr__(self) -> str:
        made = "" if self.version is None else f" {self.version.reference}"
        return f"<LoggedModel {self.ref}{made} {self.format or 'not kept'}>"

    @property
    def ref(self) -> str:
        """What `load_model` takes: `run:<id>/<name>`."""
        return f"run:{self.run}/{self.name}"

    @property
    def digest(self) -> str | None:
        return None if self.package is None else self.package.digest

    @property
    def format(self) -> str | None:
        """The format of the weights."""
        return None if self.package is None else self.package.format

    @property
    def signature(self) -> Signature | None:
        return None if self.package is None else self.package.signature


class _Keys:
    """The user's keys, for what steps keep as pickles."""

    def sign(self, kernel: Kernel, digest: str, /) -> object:
        return signing.sign(kernel, digest)

    def refusal(self, kernel: Kernel, digest: str, /) -> str | None:
        return decision.refusal(kernel, digest)


class ModelsOfRun:
    """A part of `Run`."""

    _vouching: ClassVar[Vouching | None] = _Keys()
    _logged_type: ClassVar[type[LoggedModel]] = LoggedModel
    _version_type: ClassVar[type[ModelVersion]] = ModelVersion

    if TYPE_CHECKING:
        kernel: Kernel
        id: str

        @property
        def record(self) -> RunRecord: ...
        def _writable(self) -> Guard: ...
        def _name(self, kept: Kept) -> None: ...
        def _settle_code(self) -> None: ...

    def log_model(
        self,
        model: Any,
        name: str,
        *,
        input_example: Any = None,
        signature: Signature | None = None,
        format: str | None = None,  # noqa: A002 - the word people type
        register_as: str | None = None,
        description: str = "",
        metadata: Mapping[str, Any] | None = None,
        code: bool = True,
    ) -> LoggedModel:
        """Keep a model with all that is needed to load it again: weights, signature, example, requirements, code.

        The format is the safest that holds the model, and `format` asks for another. With an `input_example` the
        signature is learnt from it, and what the model says of it is kept. `register_as` makes it the next version of a
        registered model. `code=False` leaves the project's own modules out. The same name again takes the new model.

        Survives a power cut on return. Raises InvalidTypeError for what can not be kept, SignatureError when signature
        and example do not fit each other, InvalidNameError, RunFinishedError.

        >>> import numpy as np
        >>> with start_run("doc") as run:
        ...     logged = run.log_model({"weights": np.zeros(3)}, "net")
        >>> logged.format, mm.load_model(logged.ref).model["weights"].tolist()
        ('safetensors', [0.0, 0.0, 0.0])
        """
        guard = self._writable()
        check_model_name(name)
        if register_as is not None:
            check_model_name(register_as)
        _check_model(model)
        _check_arguments(signature, description, metadata)
        kept: list[LoggedModel] = []

        def keep() -> None:
            package = packages.pack(
                self.kernel, model, name, input_example=input_example, signature=signature, format=format,
                description=description, metadata=metadata, code=code, run=self._about(), links=self._links(),
            )  # fmt: skip
            self._name(Kept(name, "model", package.digest, package.tree.size))
            kept.append(self._registered(package, name, register_as, description))

        guard.write(keep, can_wait=False)
        return kept[0] if kept else self._logged_type(self.id, name)

    def _registered(self, package: Package, name: str, register_as: str | None, description: str) -> LoggedModel:
        version = None
        if register_as is not None:
            version = register(
                self.kernel, register_as, self.id, name, package.digest, package.format,
                description=description, version_type=self._version_type,
            )  # fmt: skip
        return self._logged_type(self.id, name, package, version)

    def _about(self) -> dict[str, Any]:
        record = self.record
        return {"id": self.id, "name": record.name, "experiment": record.experiment}

    def _links(self) -> dict[str, Any]:
        self._settle_code()
        return links_of(self.kernel, self.id)


def _check_model(model: object) -> None:
    """Any object is a model, but what somebody meant to be the way to one is kept as no more than a name."""
    if model is None:
        raise InvalidTypeError("None is no model that could be kept: was the fitted object returned?")
    if isinstance(model, (str, PurePath)) and not (isinstance(model, Path) and (model / "config.json").is_file()):
        message = (
            f"A model is an object, and {shown(str(model))} was given: load it and log what was loaded, pass a folder of "
            "Hugging Face (with config.json) as Path(...), or keep the file as it is with log_artifact."
        )
        raise InvalidTypeError(message)


def _check_arguments(signature: object, description: object, metadata: object) -> None:
    if signature is not None and not isinstance(signature, Signature):
        raise InvalidTypeError(
            f"A signature is a Signature, and {type(signature).__name__} was given: mm.infer_signature makes one."
        )
    if not isinstance(description, str):
        raise InvalidTypeError(f"A description is text, and {type(description).__name__} was given.")
    if metadata is not None and not isinstance(metadata, Mapping):
        raise InvalidTypeError(f"Metadata are a mapping, and {type(metadata).__name__} was given.")
