"""References to models, as people type them, and what they lead to.

churn:3                  a version by its number
churn@production         who is in a stage, or has an alias
churn@latest             the newest version
run:ID/NAME              a model that a run has logged, registered or not
models:/churn/3, models:/churn@production, models:/churn/Production, models:/churn/latest, runs:/ID/NAME     as in MLflow
"""

from __future__ import annotations

import re
import sqlite3
from dataclasses import dataclass
from typing import TYPE_CHECKING

from modelmgmt.errors import InvalidTypeError, InvalidValueError, NotFoundError
from modelmgmt.models.registry.naming import LATEST, check_label, check_model_name
from modelmgmt.models.registry.rows import AliasRow, ModelRow, Tables, VersionRow
from modelmgmt.models.registry.stages import Stages
from modelmgmt.store.names import among, check_path, did_you_mean, shown
from modelmgmt.store.rows import verified
from modelmgmt.tracking import record as records
from modelmgmt.tracking.artifacts import COLUMNS as ARTIFACT_COLUMNS

if TYPE_CHECKING:
    from modelmgmt.store.kernel import Kernel

ARTIFACT_KIND = "model"
"""The kind of an artifact that is a model's package."""
_SHOWN = 10  # names in a message
_MLFLOW = "models:"
_RUN = "run:"
_MLFLOW_RUN = "runs:/"
_NUMBER = re.compile(r"[1-9][0-9]{0,17}").fullmatch
_FORMS = "write churn:3, churn@production, churn@latest, run:<id>/<name>, or models:/churn@production"


@dataclass(frozen=True, slots=True)
class Reference:
    """A reference that was taken apart: a model with a number or a label, or a run with the name of its artifact."""

    model: str | None = None
    number: int | None = None
    label: str | None = None
    """A stage, an alias, or "latest"."""
    run: str | None = None
    artifact: str | None = None


@dataclass(frozen=True, slots=True)
class Resolved:
    """Where a reference leads: the tree of a package, and whose it is."""

    digest: str
    model: str | None
    number: int | None
    run: str | None
    artifact: str | None


def parse(text: object) -> Reference:
    """Take a reference apart. Raises InvalidValueError, InvalidNameError, InvalidTypeError.

    >>> parse("churn@production")
    Reference(model='churn', number=None, label='production', run=None, artifact=None)
    """
    if not isinstance(text, str):
        raise InvalidTypeError(f"A model is named by a reference, and {type(text).__name__} was given: {_FORMS}.")
    if text.startswith(_MLFLOW):
        return _parse_mlflow(text)
    for start in (_RUN, _MLFLOW_RUN):
        run, found, artifact = text.removeprefix(start).partition("/")
        if not text.startswith(start) or not found:
            continue
        if not run:
            raise _unreadable(text)
        return Reference(run=run, artifact=check_path(artifact, "name of a run's model"))
    for mark in "@:":
        model, found, rest = text.partition(mark)
        if found:
            return _of_model(model, rest, text, is_label=mark == "@")
    raise _unreadable(text)


def parse_in(connection: sqlite3.Connection, text: object) -> Reference:
    """As `parse`; what is a name alone is answered with the references of that name that the store has."""
    try:
        return parse(text)
    except InvalidValueError as error:
        if not isinstance(text, str):
            raise
        there = _references(connection, text)
        if there:
            raise InvalidValueError(
                f"{shown(text)} does not name a version of a model: write {' or '.join(there)}."
            ) from error
        models = [row.name for row in Tables(connection).select(ModelRow)]
        raise InvalidValueError(f"{error} The registered models are: {among(text, models)}") from error


def resolve(kernel: Kernel, reference: object) -> Resolved:
    """The package that a reference, or a version, leads to. Raises NotFoundError, AmbiguousError, and what `parse` raises.

    Looks at one row by its key; for a stage or an alias, at three.
    """
    with kernel.database.reading() as connection:
        parsed = parse_in(connection, getattr(reference, "reference", reference))
        if parsed.run is not None:
            return _find_artifact(connection, parsed.run, str(parsed.artifact))
        row = find_version(connection, parsed)
    return Resolved(row.digest, row.model, row.number, row.run, row.artifact)


def find_version(connection: sqlite3.Connection, reference: Reference) -> VersionRow:
    """The version that a reference to a model leads to. Raises NotFoundError that says what there is."""
    rows, model = Tables(connection), str(reference.model)
    number = reference.number if reference.label is None else _number_of(rows, model, reference.label)
    row = None if number is None else rows.find(VersionRow, model, number)
    if row is None:
        raise _not_found(connection, model, reference)
    return row


def in_place(rows: Tables, model: str, stage: str) -> int | None:
    """The number of the version that entered a stage last and is still there."""
    found = rows.select(VersionRow, "entered DESC, number DESC LIMIT 1", model=model, stage=stage)
    return next((row.number for row in found), None)


def _number_of(rows: Tables, model: str, label: str) -> int | None:
    if label.lower() == LATEST:
        found = rows.select(VersionRow, "number DESC LIMIT 1", model=model)
        return next((row.number for row in found), None)
    alias = rows.find(AliasRow, model, label)
    if alias is not None:
        return alias.number
    number = in_place(rows, model, label)
    if number is None and label != label.casefold():
        # MLflow's stages are written Production.
        owner = rows.find(ModelRow, model)
        stages = Stages.decode(owner.stages).names if owner else ()
        same = next((name for name in stages if name.casefold() == label.casefold()), None)
        return None if same is None else in_place(rows, model, same)
    return number


def no_model(connection: sqlite3.Connection, model: str) -> NotFoundError:
    """The error that says which models there are."""
    there = [row.name for row in Tables(connection).select(ModelRow)]
    return NotFoundError(f"There is no model {model!r}; the registered models are: {among(model, there)}")


def _references(connection: sqlite3.Connection, name: str) -> list[str]:
    """What could be meant by a name alone: the newest version of that model, who is in its stages, a run's model."""
    rows = Tables(connection)
    newest = next((row.number for row in rows.select(VersionRow, "number DESC LIMIT 1", model=name)), None)
    if newest is not None:
        return [f"{name}@{label}" for label in (LATEST, *_labels(rows, name))] + [f"{name}:{newest}"]
    sql = "SELECT run FROM artifacts WHERE name = ? AND kind = ? ORDER BY run DESC LIMIT 1"
    return [f"run:{run}/{name}" for (run,) in connection.execute(sql, (name, ARTIFACT_KIND))]


def _labels(rows: Tables, model: str) -> list[str]:
    """The stages that somebody is in, but for the first and the last, and the aliases."""
    owner = rows.find(ModelRow, model)
    stages = Stages.decode(owner.stages).names[1:-1] if owner else ()
    held = [stage for stage in stages if in_place(rows, model, stage) is not None]
    return [*held, *(row.alias for row in rows.select(AliasRow, f"alias LIMIT {_SHOWN}", model=model))]


def _not_found(connection: sqlite3.Connection, model: str, reference: Reference) -> NotFoundError:
    rows = Tables(connection)
    if rows.find(ModelRow, model) is None:
        return no_model(connection, model)
    if reference.label is not None:
        there = [LATEST, *_labels(rows, model)]
        return NotFoundError(
            f"No version of {model} is in the stage, or has the alias, {reference.label!r}; there are: "
            f"{', '.join(f'{model}@{label}' for label in there)}.{did_you_mean(reference.label, there)}"
        )
    newest = next((row.number for row in rows.select(VersionRow, "number DESC LIMIT 1", model=model)), None)
    known = "it has none" if newest is None else f"the newest is {newest}"
    return NotFoundError(f"{model} has no version {reference.number}; {known}.")


def _find_artifact(connection: sqlite3.Connection, run: str, name: str) -> Resolved:
    record = records.find(connection, run)
    row = connection.execute(
        f"SELECT {ARTIFACT_COLUMNS} FROM artifacts WHERE run = ? AND name = ?", (record.id, name)
    ).fetchone()
    if row is None:
        names = "SELECT name FROM artifacts WHERE run = ? AND kind = ? ORDER BY name"
        there = [found for (found,) in connection.execute(names, (record.id, ARTIFACT_KIND))]
        others = records.namesakes(connection, record)
        which = f"The run {record.name} ({record.id}{f', {others}' if others else ''})"
        raise NotFoundError(f"{which} has no model {name!r}; its models are: {among(name, there)}")
    _, _, kind, digest, *_ = verified("artifacts", row)
    if kind != ARTIFACT_KIND:
        raise InvalidValueError(f"{name!r} of the run {record.name} is a {kind}, not a model: log_model logs models.")
    return Resolved(digest, None, None, record.id, name)


def _parse_mlflow(text: str) -> Reference:
    path = text.removeprefix(_MLFLOW)
    if not path.startswith("/") or path.startswith("//"):
        raise _unreadable(text)
    model, mark, rest = path[1:].partition("@" if "@" in path else "/")
    if not mark:
        raise _unreadable(text)
    return _of_model(model, rest, text, is_label=mark == "@" or not _NUMBER(rest))


def _of_model(model: str, rest: str, text: str, *, is_label: bool) -> Reference:
    if not model or not rest:
        raise _unreadable(text)
    name = check_model_name(model)
    if is_label:
        return Reference(model=name, label=rest if rest.lower() == LATEST else check_label(rest, "stage or alias"))
    if not _NUMBER(rest):
        raise InvalidValueError(f"{shown(text)} does not end in the number of a version: {_FORMS}.")
    return Reference(model=name, number=int(rest))


def _unreadable(text: str) -> InvalidValueError:
    return InvalidValueError(f"{shown(text)} does not name a version of a model: {_FORMS}.")
