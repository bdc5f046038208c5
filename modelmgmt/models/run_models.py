"""What a run knows of the models that it made."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any, ClassVar

from modelmgmt.errors import InvalidTypeError, printable
from modelmgmt.models.packaging import package as packages
from modelmgmt.models.packaging.links import links_of
from modelmgmt.models.packaging.needs import Needs
from modelmgmt.models.packaging.project import AnyPath
from modelmgmt.models.packaging.readback import Verified
from modelmgmt.models.packaging.signature import Signature
from modelmgmt.models.registry.naming import check_model_name
from modelmgmt.models.registry.registry import register
from modelmgmt.models.registry.versions import ModelVersion
from modelmgmt.models.trust import decision, signing
from modelmgmt.store.names import shown
from modelmgmt.tracking.artifacts import Kept
from modelmgmt.versions.left_out import CodeSecrets

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
        return printable(f"<LoggedModel {self.reference}{made} {self.format or 'not kept'}>")

    @property
    def reference(self) -> str:
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
    def needs(self) -> Needs | None:
        """What a stranger will need to load it: trust, packages, code. Its text is one line. The weights are looked at.

        >>> with start_run("doc") as run:
        ...     print(run.log_model({"w": [0.5]}, "weights", format="cloudpickle").needs)  # doctest: +ELLIPSIS
        trust (cloudpickle runs code), Python 3..., cloudpickle==...
        """
        return None if self.package is None else self.package.needs

    @property
    def verified(self) -> Verified | None:
        """What was checked of the bytes that were written."""
        return None if self.package is None else self.package.verified

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
        _kernel: Kernel
        id: str

        @property
        def _row_now(self) -> RunRecord: ...
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
        code_paths: Iterable[AnyPath] = (),
        files: Mapping[str, AnyPath] | Iterable[AnyPath] = (),
        verify: bool | None = None,
        code_secrets: CodeSecrets = "replace",
    ) -> LoggedModel:
        """Keep a model with all that is needed to load it again: weights, signature, example, requirements, code.

        The format is the safest that holds the model, and `format` asks for another. With an `input_example` the
        signature is learnt from it, and what the model says of it is kept. `register_as` makes it the next version of a
        registered model. The same name again takes the new model.

        The project's modules that the model refers to are packaged, with what they import, in functions, too;
        `code_paths` adds files and folders of code that nothing names, `code=False` leaves out the others. `files` are
        kept beside: paths, or a mapping of names to paths (`loaded.package.file(name)`). Secrets in the code are replaced
        by placeholders, with a warning, unless `code_secrets="keep"`.

        What was written is read back: it must load, and answer the example as the model does (`predict`, with
        `predict_proba` or `decision_function`; a transformer by `transform`). In a format that does not do so the model
        is not kept: the next one is taken, with a warning, or, when `format` was given, InvalidTypeError is raised. Without
        an example it must load; `logged.verified` says what was checked. What has over 1 GB, or took over 60 s to write,
        is read back with `verify=True`, and nothing with `verify=False`.

        Survives a power cut on return. Raises InvalidTypeError for what cannot be kept, SignatureError when signature
        and example do not fit each other, InvalidNameError, RunFinishedError.

        >>> import numpy as np
        >>> with start_run("doc") as run:
        ...     logged = run.log_model({"weights": np.zeros(3)}, "net")
        >>> logged.format, mm.load_model(logged.reference).model["weights"].tolist()
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
                self._kernel, model, name, input_example=input_example, signature=signature, format=format,
                description=description, metadata=metadata, code=code, code_paths=code_paths, files=files, run=self._about(),
                links=self._links(), verify=verify, code_secrets=code_secrets,
            )  # fmt: skip
            self._name(Kept(name, "model", package.digest, package.tree.size))
            kept.append(self._registered(package, name, register_as, description))

        guard.write(keep, can_wait=False)
        return kept[0] if kept else self._logged_type(self.id, name)

    def _registered(self, package: Package, name: str, register_as: str | None, description: str) -> LoggedModel:
        version = None
        if register_as is not None:
            version = register(
                self._kernel, register_as, self.id, name, package.digest, package.format,
                description=description, version_type=self._version_type,
            )  # fmt: skip
        return self._logged_type(self.id, name, package, version)

    def _about(self) -> dict[str, Any]:
        record = self._row_now
        return {"id": self.id, "name": record.name, "experiment": record.experiment}

    def _links(self) -> dict[str, Any]:
        self._settle_code()
        return links_of(self._kernel, self.id)


def _check_model(model: object) -> None:
    """Any object is a model, but what somebody meant to be the way to one is kept as no more than a name."""
    if model is None:
        raise InvalidTypeError("None was given instead of a model: does your function return the fitted model?")
    if isinstance(model, (str, PurePath)) and not (isinstance(model, Path) and (model / "config.json").is_file()):
        message = (
            f"A model is an object, and {shown(str(model))} was given: load it and log the loaded model, pass a folder of "
            "Hugging Face (with config.json) as Path(...), or keep the file as it is with log_artifact."
        )
        raise InvalidTypeError(message)


def _check_arguments(signature: object, description: object, metadata: object) -> None:
    if signature is not None and not isinstance(signature, Signature):
        raise InvalidTypeError(
            f"A signature is a Signature, and {type(signature).__name__} was given: make one with mm.infer_signature."
        )
    if not isinstance(description, str):
        raise InvalidTypeError(f"A description is text, and {type(description).__name__} was given.")
    if metadata is not None and not isinstance(metadata, Mapping):
        raise InvalidTypeError(f"Metadata are a mapping, and {type(metadata).__name__} was given.")
