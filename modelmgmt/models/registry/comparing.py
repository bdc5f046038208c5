"""What differs between two versions: of the versions themselves, and of their runs. Reads only."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from modelmgmt.errors import InvalidValueError
from modelmgmt.models.packaging.signature import signature_lines
from modelmgmt.tracking import comparison
from modelmgmt.tracking import record as records
from modelmgmt.tracking.comparison import Comparison, Row
from modelmgmt.tracking.run import Run

if TYPE_CHECKING:
    from modelmgmt.models.registry.versions import ModelVersion
    from modelmgmt.store.kernel import Kernel


def compare(kernel: Kernel, a: ModelVersion, b: ModelVersion) -> Comparison:
    """Version, signature, results and tags side by side, then what the comparison of their runs has.

    Raises InvalidValueError for a version with itself.
    """
    if a == b:
        raise InvalidValueError(f"compare takes two different versions, and {a.reference} was given twice.")
    columns = [_sections(version) for version in (a, b)]
    rows = [
        Row(section, key, tuple(column[section].get(key) for column in columns))
        for section in columns[0]
        for key in dict.fromkeys([*columns[0][section], *columns[1][section]])
    ]
    return Comparison((a.reference, b.reference), (a.reference, b.reference), (*rows, *_of_runs(kernel, a, b)))


def _sections(version: ModelVersion) -> dict[str, dict[str, Any]]:
    return {
        "version": {
            "stage": version.stage,
            "format": version.format,
            "package": version.digest[:12],
            "run": version.run,
            "registered by": version.created_by,
            "description": version.description or None,
        },
        "signature": signature_lines(version.signature or {}),
        "results": {
            name: result.mean if result.passed is None else "passed" if result.passed else "failed"
            for name, result in version.results.items()
        },
        "version tags": dict(version.tags),
    }


def _of_runs(kernel: Kernel, a: ModelVersion, b: ModelVersion) -> tuple[Row, ...]:
    if a.run is None or b.run is None or a.run == b.run:
        return ()
    with kernel.database.reading() as connection:
        runs = [Run(kernel, records.read(connection, run)) for run in (a.run, b.run)]
    return comparison.compare(runs).rows
