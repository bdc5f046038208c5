"""The graph of the steps of a run, laid out in columns from left to right. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from modelmgmt.tracking.steps.table import Step


@dataclass(frozen=True, slots=True)
class Node:
    """One step, and where it stands: `column` from 0 at the left, `row` from 0 at the top, which may lie between two."""

    step: Step
    column: int
    row: float


@dataclass(frozen=True, slots=True)
class Edge:
    """The output of one step that is an input of another; or, with `is_inside`, a step and one that it calls."""

    source: int
    target: int
    label: str
    is_inside: bool = False


@dataclass(frozen=True, slots=True)
class Graph:
    """Everything that a picture of the steps shows."""

    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]

    @property
    def columns(self) -> int:
        return max((node.column for node in self.nodes), default=-1) + 1

    @property
    def rows(self) -> int:
        """Of the tallest column."""
        counts = [sum(node.column == column for node in self.nodes) for column in range(self.columns)]
        return max(counts, default=0)


def graph(steps: Sequence[Step]) -> Graph:
    """A step stands one column to the right of the last step that it needs, and near the steps that it needs."""
    edges = tuple(_edges(steps))
    before: dict[int, list[int]] = {step.number: [] for step in steps}
    for edge in edges:
        before[edge.target].append(edge.source)
    column: dict[int, int] = {}
    for step in steps:  # what a step needs has a lower number, since it began earlier
        column[step.number] = max((column[source] + 1 for source in before[step.number]), default=0)
    rows = _rows(steps, before, column)
    return Graph(tuple(Node(step, column[step.number], rows[step.number]) for step in steps), edges)


def _edges(steps: Sequence[Step]) -> list[Edge]:
    known = {step.number for step in steps}
    labels: dict[tuple[int, int], list[str]] = {}
    for step in steps:
        for given in step.inputs:
            for source in given.steps:
                if source in known and source < step.number:
                    labels.setdefault((source, step.number), []).append(given.name)
    found = [Edge(source, target, ", ".join(names)) for (source, target), names in labels.items()]
    inside = [
        Edge(step.parent, step.number, "", is_inside=True)
        for step in steps
        if step.parent in known and step.parent is not None and (step.parent, step.number) not in labels
    ]
    return [*found, *inside]


def _rows(steps: Sequence[Step], before: dict[int, list[int]], column: dict[int, int]) -> dict[int, float]:
    """In each column the steps in the order of the mean row of what they need, each column centred."""
    rows: dict[int, float] = {}
    for at in range(max(column.values(), default=-1) + 1):
        here = [step.number for step in steps if column[step.number] == at]
        wish = {
            number: sum(rows[source] for source in before[number]) / len(before[number]) if before[number] else 0.0
            for number in here
        }
        ordered = sorted(here, key=lambda number: (wish[number], number))
        for place, number in enumerate(ordered):
            rows[number] = place - (len(ordered) - 1) / 2
    lowest = min(rows.values(), default=0.0)
    return {number: row - lowest for number, row in rows.items()}
