"""Which model a monitor is about: for what it logs one package, for what it reads back a condition. Reads only."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from modelmgmt.errors import InvalidTypeError, InvalidValueError, NotFoundError
from modelmgmt.models.registry.reference import ARTIFACT_KIND, Reference, find_version, no_model, parse, resolve
from modelmgmt.models.registry.rows import AliasRow, ModelRow, Tables, VersionRow
from modelmgmt.models.registry.stages import Stages
from modelmgmt.observe.batches import Target, Where, equal
from modelmgmt.tracking import record as records

if TYPE_CHECKING:
    from modelmgmt.store.kernel import Kernel


_MARKS = frozenset("@:/")  # what makes a reference of a name


@dataclass(frozen=True)
class Scope:
    """What a monitor is about: the text that names it, which rows are its own, and what it logs for."""

    name: str
    where: Where
    target: Target | None
    """None where nothing is there now, or a model without a version was named."""
    model: str | None = None
    label: str | None = None
    is_exact: bool = False
    """Whether it is one package, whatever is promoted."""
    missing: NotFoundError | None = None
    """Why there is no target."""


def scope_of(kernel: Kernel, reference: object) -> Scope:
    """The scope of `churn@production`, `churn:3`, `churn`, `run:ID/NAME`, or of a model that was loaded.

    Raises NotFoundError when there is neither such a model nor a prediction of one.
    """
    with kernel.database.reading() as connection:
        if hasattr(reference, "package"):
            reference = target_of(connection, kernel, reference).reference
        text = getattr(reference, "reference", reference)
        if not isinstance(text, str):
            raise _unnamed(text)
        if text and not set(text) & _MARKS:
            return _of_all(connection, text)
        parsed = parse(text)
        scope = _of_run(kernel, connection, parsed) if parsed.run is not None else _of_model(connection, parsed)
        if scope.missing is not None and not _has_rows(connection, scope.where):
            raise scope.missing
        return scope


def target_of(connection: sqlite3.Connection, kernel: Kernel, model: Any, scope: Scope | None = None) -> Target:
    """Whose package a loaded model is: of the model that is monitored, else of the newest version that has it, else of
    the run that logged it. Raises InvalidTypeError, InvalidValueError, NotFoundError.
    """
    package = getattr(model, "package", None)
    digest = getattr(package, "digest", None)
    if not isinstance(digest, str):
        raise _unnamed(model)
    own = None if scope is None else scope.target
    if own is not None and own.package == digest:
        return own
    if scope is not None and scope.is_exact:
        raise InvalidValueError(
            f"This monitor is of {scope.name}, and the given model is another, "
            f"{_called(connection, package, digest)}: log with store.monitor(model)."
        )
    named = {} if scope is None or scope.model is None else {"model": scope.model}
    found = next(
        Tables(connection).select(VersionRow, "created_at DESC, number DESC LIMIT 1", digest=digest, **named), None
    )
    if found is not None:
        return _of_version(found, None if scope is None else scope.label)
    if named:
        raise NotFoundError(
            f"The given model is not a version of {named['model']}, it is {_called(connection, package, digest)}: "
            "log with store.monitor(model)."
        )
    artifact = _artifact_of(connection, package, digest)
    if artifact is None:
        raise NotFoundError(
            f"The model with the package {digest} is not in the store {kernel.path}: log it there first."
        )
    return Target(None, None, None, *artifact, digest)


def _of_all(connection: sqlite3.Connection, model: str) -> Scope:
    """All versions of a model; also of one that was deleted, or never was here, while its predictions are."""
    where = equal({"model": model})
    if Tables(connection).find(ModelRow, model) is None and not _has_rows(connection, where):
        raise no_model(connection, model)
    return Scope(model, where, None, model)


def _of_model(connection: sqlite3.Connection, reference: Reference) -> Scope:
    label = _canonical(connection, reference)
    named = {"model": reference.model, **({"label": label} if label is not None else {"number": reference.number})}
    name = f"{reference.model}{f'@{label}' if label is not None else f':{reference.number}'}"
    about: dict[str, Any] = {"model": reference.model, "label": label, "is_exact": label is None}
    try:
        version = find_version(connection, reference)
    except NotFoundError as error:
        return Scope(name, equal(named), None, missing=error, **about)
    return Scope(name, equal(named), _of_version(version, label), **about)


def _of_run(kernel: Kernel, connection: sqlite3.Connection, reference: Reference) -> Scope:
    run, artifact = records.find(connection, str(reference.run)).id, str(reference.artifact)
    name, where = f"run:{run}/{artifact}", equal({"run": run, "artifact": artifact})
    try:
        digest = resolve(kernel, name).digest
    except NotFoundError as error:
        return Scope(name, where, None, is_exact=True, missing=error)
    return Scope(name, where, Target(None, None, None, run, artifact, digest), is_exact=True)


def _canonical(connection: sqlite3.Connection, reference: Reference) -> str | None:
    """A label as the registry writes it: `models:/churn/Production` asks for the stage production."""
    label = reference.label
    if label is None or Tables(connection).find(AliasRow, str(reference.model), label) is not None:
        return label
    owner = Tables(connection).find(ModelRow, str(reference.model))
    names = Stages.decode(owner.stages).names if owner is not None else ()
    return next((name for name in names if name.casefold() == label.casefold()), label)


def _unnamed(given: object) -> InvalidTypeError:
    return InvalidTypeError(
        f"{type(given).__name__} does not say which version it is: pass a reference as churn@production, or what "
        "mm.load_model gave."
    )


def _called(connection: sqlite3.Connection, package: Any, digest: str) -> str:
    """A package by the name that a reader knows: its newest version, its run, or its digest."""
    order = "created_at DESC, number DESC LIMIT 1"
    for row in Tables(connection).select(VersionRow, order, digest=digest):
        return f"{row.model}:{row.number}"
    artifact = _artifact_of(connection, package, digest)
    return f"package {digest}, which is not in this store" if artifact is None else "run:{}/{}".format(*artifact)


def _of_version(row: VersionRow, label: str | None) -> Target:
    return Target(row.model, row.number, label, row.run, row.artifact, row.digest)


def _artifact_of(connection: sqlite3.Connection, package: Any, digest: str) -> tuple[str, str] | None:
    run = package.run
    sql = "SELECT run, name FROM artifacts WHERE digest = ? AND kind = ? ORDER BY run = ? DESC, logged_at LIMIT 1"
    found: tuple[str, str] | None = connection.execute(sql, (digest, ARTIFACT_KIND, run)).fetchone()
    return found


def _has_rows(connection: sqlite3.Connection, where: Where) -> bool:
    condition, values = where
    return (
        connection.execute(f"SELECT 1 FROM prediction_batches WHERE {condition} LIMIT 1", values).fetchone() is not None
    )
