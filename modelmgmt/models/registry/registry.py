"""The registry: models by name, versions from runs. `store.models` is one."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from modelmgmt.errors import InvalidValueError, NotFoundError, RunInUseError, printable
from modelmgmt.models.registry.decisions import decide, last_of, of_model
from modelmgmt.models.registry.evidence import description_of
from modelmgmt.models.registry.imported import Origin
from modelmgmt.models.registry.model import Model
from modelmgmt.models.registry.naming import check_model_name
from modelmgmt.models.registry.projection import detail_of
from modelmgmt.models.registry.reference import find_version, parse_in, resolve
from modelmgmt.models.registry.rows import ModelRow, Tables, VersionRow
from modelmgmt.models.registry.stages import Stages, checked_stages
from modelmgmt.models.registry.versions import ModelVersion, View
from modelmgmt.store.names import check_name, check_path, counted
from modelmgmt.store.objects import check_digest
from modelmgmt.tracking import record as records
from modelmgmt.tracking.labels import checked_note, checked_tags

if TYPE_CHECKING:
    from modelmgmt.models.registry.deletion import DeletedVersions, Refuse
    from modelmgmt.store.kernel import Kernel


class Registry(Mapping[str, Model]):
    """The registered models, by name: `store.models`. It reads as a mapping; names come sorted.

    >>> _ = Store().models.create("churn", description="who will leave")
    >>> list(Store().models), "churn" in Store().models, Store().models["churn"].description
    (['churn'], True, 'who will leave')
    """

    _model_type: ClassVar[type[Model]] = Model
    _version_type: ClassVar[type[ModelVersion]] = ModelVersion

    def __init__(self, kernel: Kernel, refusals: Sequence[Refuse] = ()) -> None:
        self._kernel = kernel
        self._refusals = refusals

    def __getitem__(self, name: str) -> Model:
        """Raises NotFoundError, which is a KeyError."""
        return self._model_type(self._kernel, name, self._refusals)

    def __iter__(self) -> Iterator[str]:
        with self._kernel.database.reading() as connection:
            return iter([row.name for row in Tables(connection).select(ModelRow)])

    def __len__(self) -> int:
        with self._kernel.database.reading() as connection:
            return int(connection.execute("SELECT count(*) FROM models").fetchone()[0])

    def create(
        self,
        name: str,
        *,
        description: str = "",
        stages: Sequence[str] | None = None,
        single: Sequence[str] | None = None,
        transitions: Mapping[str, Sequence[str]] | None = None,
        tags: Mapping[str, Any] | None = None,
    ) -> Model:
        """Make a model without versions; `register` does so by itself. For the stages, see `Model.set_stages`.

        Survives a power cut. Raises InvalidNameError, InvalidValueError when it is there already.
        """
        check_model_name(name)
        own, kept = checked_stages(stages, single, transitions), checked_tags(tags or {})
        with self._kernel.database.writing(durable=True) as connection:
            if Tables(connection).find(ModelRow, name) is not None:
                raise InvalidValueError(f"The model {name!r} already exists: get it with store.models[{name!r}].")
            _create(connection, name, checked_note(description), own)
            if kept:
                decide(connection, "model.tagged", name, {"version": 0, "tags": kept})
        return self._model_type(self._kernel, name, self._refusals)

    def version(self, reference: str) -> ModelVersion:
        """The version that a reference leads to: "churn:3", "churn@production". Raises NotFoundError."""
        with self._kernel.database.reading() as connection:
            parsed = parse_in(connection, reference)
            if parsed.model is None:
                raise InvalidValueError(
                    f"{reference!r} is a model of a run, not a version: write churn:3 or churn@production."
                )
            row = find_version(connection, parsed)
            return self._version_type(self._kernel, row, View(last_of(connection, row.model)))

    def register(
        self,
        name: str,
        *,
        digest: str,
        format: str,  # noqa: A002 - the word of the table
        run: str | None = None,
        artifact: str | None = None,
        description: str = "",
        tags: Mapping[str, Any] | None = None,
    ) -> ModelVersion:
        """Make a version of a package that the store holds; `log_model(register_as=...)` does so. See `register`."""
        return register(
            self._kernel, name, run, artifact, digest, format, description=description, tags=tags,
            version_type=self._version_type,
        )  # fmt: skip

    def register_from(
        self, reference: str, name: str, *, description: str = "", tags: Mapping[str, Any] | None = None
    ) -> ModelVersion:
        """Make a version of a model that a run has logged, "run:ID/NAME", or of another version, "churn:3".

        Survives a power cut. Raises NotFoundError, InvalidNameError.
        """
        found = resolve(self._kernel, reference)
        kind = description_of(self._kernel, found.digest).get("format")
        origin = None
        if found.model is not None:
            source = self.version(f"{found.model}:{found.number}")
            origin = Origin("version", source.reference, origin=source.origin)
        return register(
            self._kernel, name, found.run, found.artifact, found.digest, str(kind or "unknown"),
            description=description, tags=tags, version_type=self._version_type, origin=origin,
        )  # fmt: skip

    def search(
        self,
        filter: str = "",  # noqa: A002 - as for runs
        *,
        model: str | None = None,
        stage: str | None = None,
        tags: Mapping[str, Any] | None = None,
        text: str = "",
    ) -> list[ModelVersion]:
        """The versions for which everything holds that is asked, newest first.

        `filter` is about the run of the version, in the language of `store.runs`. `stage` and `tags` are the version's
        own; `text` is part of the model's name, or of a description, in any case. Warns, when nothing is found, of each
        name in the filter that no run has, and of each tag that no version has. Raises QuerySyntaxError, NotFoundError
        for a model that is not there, InvalidValueError for a stage that no model has.
        """
        from modelmgmt.models.registry.search import search

        return search(
            self._kernel, filter, model=model, stage=stage, tags=checked_tags(tags or {}), text=text,
            version_type=self._version_type,
        )  # fmt: skip

    def delete(self, name: str, *, reason: str = "", force: bool = False) -> DeletedVersions:
        """Delete a model with all its versions, for real; see `Model.delete`. Its events remain.

        Raises PinnedError while one of its versions is in use or has predicted, unless `force` is given; NotFoundError.
        """
        from modelmgmt.models.registry.deletion import delete_model

        return delete_model(self._kernel, name, reason=reason, force=force, refusals=self._refusals)

    def __repr__(self) -> str:
        names = list(self)
        shown = ", ".join(f"{name} ({self[name].summary()})" for name in names[:10]) + (", ..." if names[10:] else "")
        return printable(f"<Registry of {counted(len(names), 'model')}{': ' if names else ''}{shown}>")


def register(
    kernel: Kernel,
    name: str,
    run: str | None,
    artifact: str | None,
    digest: str,
    format: str,  # noqa: A002 - the word of the table
    *,
    description: str = "",
    tags: Mapping[str, Any] | None = None,
    version_type: type[ModelVersion] = ModelVersion,
    origin: Origin | None = None,
) -> ModelVersion:
    """Make the next version of a model, and the model where it is not there yet. Survives a power cut.

    The same package again is another version. Raises InvalidNameError, and NotFoundError when the run or the package is
    not in the store.
    """
    check_model_name(name)
    check_digest(digest)
    detail = {
        "run": run,
        "artifact": None if artifact is None else check_path(artifact, "artifact"),
        "digest": digest,
        "format": check_name(format, "format"),
        "description": checked_note(description),
        "origin": None if origin is None else origin.to_dict(),
    }
    kept = checked_tags(tags or {})
    if kernel.objects.freshen(digest) is None and not kernel.objects.has(digest):
        raise NotFoundError(f"The package {digest} is not in the store: log the model first, with run.log_model.")
    with kernel.database.writing(durable=True) as connection:
        if run is not None:
            records.read(connection, run)
        owner = Tables(connection).find(ModelRow, name) or _create(connection, name, "", Stages())
        number, stage = owner.last_number + 1, Stages.decode(owner.stages).first
        kind = "model.imported" if origin is not None and origin.kind == "bundle" else "model.registered"
        decide(connection, kind, name, {"version": number, "stage": stage, **detail})
        if kept:
            decide(connection, "model.tagged", name, {"version": number, "tags": kept})
        row = Tables(connection).find(VersionRow, name, number)
        seen = last_of(connection, name)
    if row is None:  # pragma: no cover - it was written above
        raise NotFoundError(f"The version {name}:{number} was deleted.")
    return version_type(kernel, row, View(seen))


def refuse_registered(connection: sqlite3.Connection, run: str) -> None:
    """Raises RunInUseError when versions of a model come from the run: for whoever deletes runs."""
    found = list(Tables(connection).select(VersionRow, "model, number LIMIT 4", run=run))
    if found:
        named = ", ".join(f"{row.model}:{row.number}" for row in found[:3]) + (", ..." if len(found) > 3 else "")
        raise RunInUseError(
            f"The run {run} made {named}: delete the version first, with store.models[...].delete(...)."
        )


def _create(connection: sqlite3.Connection, name: str, description: str, stages: Stages) -> ModelRow:
    detail = {
        "description": description, "stages": stages.encode(), "policy": "{}",
        "last_number": _last_number(connection, name),
    }  # fmt: skip
    decide(connection, "model.created", name, detail)
    row = Tables(connection).find(ModelRow, name)
    assert row is not None  # noqa: S101 - it follows from the event
    return row


def _last_number(connection: sqlite3.Connection, name: str) -> int:
    """Of a model of that name that was deleted: its numbers are not given again."""

    numbers = (detail_of(event).get("version") or 0 for event in of_model(connection, name))
    return max(numbers, default=0)
