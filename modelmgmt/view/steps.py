"""Pipeline steps as a table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from modelmgmt.view.tables import Column, Table
from modelmgmt.view.text import MISSING, clean, format_duration

if TYPE_CHECKING:
    from modelmgmt.tracking.steps.table import Step, StepInput

_COLUMNS = (
    Column("step", is_key=True, right=True), Column("name", is_key=True), Column("status"),
    Column("duration", right=True, is_whole=True, rank=2), Column("reason"), Column("inputs", rank=1),
    Column("output", rank=3),
)  # fmt: skip


def steps_table(steps: Sequence[Step]) -> Table:
    """One row per call, in the order in which they began; a step inside another is set in."""
    depth: dict[int, int] = {}
    rows = []
    for step in steps:
        depth[step.number] = depth.get(step.parent, 0) + 1 if step.parent is not None else 0
        inputs = ", ".join(_input(given) for given in step.inputs)
        rows.append(
            (
                str(step.number), "  " * depth[step.number] + clean(step.name), step.status,
                format_duration(step.duration_s), clean(step.reason, 160), clean(inputs, 100),
                MISSING if step.output is None else clean(step.output),
            )
        )  # fmt: skip
    return Table(_COLUMNS, tuple(rows), "" if rows else "No steps.")


def _input(given: StepInput) -> str:
    if given.steps:
        return f"{given.name} from {', '.join(map(str, given.steps))}"
    return f"{given.name}={given.shown}{' (ignored)' if given.is_ignored else ''}"
