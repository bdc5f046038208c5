"""What is known of a version, read from the store for the gate. Writes nothing."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from modelmgmt.errors import CorruptDataError, InvalidTypeError, InvalidValueError, ModelmgmtError
from modelmgmt.models.packaging.compatible import breaks
from modelmgmt.models.packaging.package import read_package
from modelmgmt.models.registry.gates import Evidence, Losses
from modelmgmt.models.registry.policy import Rule
from modelmgmt.models.registry.reference import in_place
from modelmgmt.models.registry.rows import ApprovalRow, ResultRow, Tables, VersionRow
from modelmgmt.store.rows import from_json
from modelmgmt.store.trees import Trees
from modelmgmt.tracking import record as records
from modelmgmt.tracking.run import Run
from modelmgmt.versions.data.values import floats

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from modelmgmt.models.packaging.needs import Needs
    from modelmgmt.store.kernel import Kernel

DESCRIPTION = "model.json"
"""The file of a package that describes it."""


def gather(kernel: Kernel, connection: sqlite3.Connection, row: VersionRow, stage: str, rule: Rule) -> Evidence:
    """What a rule asks about, and no more: losses are read only where they are compared."""
    rows = Tables(connection)
    run = None if row.run is None else records.read(connection, row.run)
    results = _results(rows, row)
    number = in_place(rows, row.model, stage)
    other = None if number is None or number == row.number else rows.find(VersionRow, row.model, number)
    approvals = rows.select(ApprovalRow, model=row.model, number=row.number, stage=stage)
    ask_signature = rule.signature == "compatible" and other is not None
    return Evidence(
        results={name: (_passed(found), _said(found.detail)) for name, found in results.items()},
        metrics=Run(kernel, run).metrics if run is not None and rule.metrics else {},
        losses=_losses(kernel, results, rule),
        approvers=frozenset(approval.actor for approval in approvals),
        author=frozenset(who for who in (row.created_by, None if run is None else run.user) if who),
        current=None if other is None else other.number,
        current_losses=None if other is None else _losses(kernel, _results(rows, other), rule),
        signature_breaks=_breaks(kernel, other, row) if ask_signature and other is not None else (),
    )


def needs_of(kernel: Kernel, digest: str) -> Needs | None:
    """What a stranger needs to load a package; None for one that this library did not make, or cannot look at here."""
    try:
        return read_package(kernel, digest).needs
    except ModelmgmtError:
        return None


def losses_bytes(losses: Any) -> tuple[bytes, float]:
    """Losses as they are kept, and their mean. Raises InvalidTypeError, InvalidValueError."""
    import numpy as np

    try:
        values = floats(losses).astype("<f8", copy=False)
    except (TypeError, ValueError) as error:
        raise InvalidTypeError(f"Losses are numbers, one a row, and {type(losses).__name__} was given.") from error
    if values.ndim != 1 or len(values) == 0:
        raise InvalidValueError(f"Losses are one number a row, (n_rows,), and the shape {values.shape} was given.")
    if not np.isfinite(values).all():
        at = int(np.flatnonzero(~np.isfinite(values))[0])
        raise InvalidValueError(f"The loss of row {at} is {values[at]}: losses must be finite, so leave such rows out.")
    return values.tobytes(), float(values.mean())


def read_losses(kernel: Kernel, digest: str) -> NDArray[np.float64]:
    """One loss per row, `(n_rows,)`. Raises NotFoundError, CorruptDataError."""
    import numpy as np

    return np.frombuffer(kernel.objects.get(digest), "<f8")


def description_of(kernel: Kernel, digest: str) -> Mapping[str, Any]:
    """`model.json` of a package; empty for a tree that has none. Raises CorruptDataError, NotFoundError."""
    entry = Trees(kernel.objects).get(digest).get(DESCRIPTION)
    if entry is None:
        return {}
    try:
        content = json.loads(kernel.objects.get(entry.digest))
    except ValueError as error:
        raise CorruptDataError(f"The file {DESCRIPTION} of the package {digest} is not JSON: {error}.") from error
    return content if isinstance(content, dict) else {}


def _results(rows: Tables, row: VersionRow) -> dict[str, ResultRow]:
    return {found.name: found for found in rows.select(ResultRow, model=row.model, number=row.number)}


def _passed(found: ResultRow) -> bool | None:
    return None if found.passed is None else bool(found.passed)


def _said(detail: str) -> str:
    """The detail of a result, where it is short enough for a sentence."""
    content = from_json("model_results.detail", detail, object)
    if not content:
        return ""
    return content if isinstance(content, str) and len(content) <= 200 else detail if len(detail) <= 200 else ""


def _losses(kernel: Kernel, results: Mapping[str, ResultRow], rule: Rule) -> dict[str, Losses]:
    asked = {name: results[name] for name in rule.no_worse if name in results}
    return {
        name: Losses(read_losses(kernel, found.evidence_digest), found.dataset)
        for name, found in asked.items()
        if found.evidence_digest is not None
    }


def _breaks(kernel: Kernel, before: VersionRow, after: VersionRow) -> tuple[str, ...]:
    was, now = (description_of(kernel, row.digest).get("signature") for row in (before, after))
    return tuple(breaks(was, now))
