"""The graph of the steps of a run, laid out in columns from left to right. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from modelmgmt.tracking.steps.table import Step

_LANE = 0.5  # of the height of a step


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
    via: tuple[tuple[int, float], ...] = ()
    """(column, row) of the gaps through which it passes the columns between its ends."""


@dataclass(frozen=True, slots=True)
class Graph:
    """Everything that a picture of the steps shows."""

    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]

    @property
    def columns(self) -> int:
        return max((node.column for node in self.nodes), default=-1) + 1

    @property
    def height(self) -> float:
        """From the highest row to the lowest, lanes included."""
        rows = [*(node.row for node in self.nodes), *(row for edge in self.edges for _, row in edge.via)]
        return max(rows) - min(rows) if rows else 0.0


def graph(steps: Sequence[Step]) -> Graph:
    """A step stands one column to the right of the last step that it needs, and near the steps that it needs.

    An edge over several columns gets a lane through each column between, shared by all that leave one step: the layers of
    K. Sugiyama, S. Tagawa, M. Toda, "Methods for visual understanding of hierarchical system structures" (1981).
    """
    edges = _edges(steps)
    before: dict[int, list[int]] = {step.number: [] for step in steps}
    for edge in edges:
        before[edge.target].append(edge.source)
    column: dict[int, int] = {}
    for step in steps:  # what a step needs has a lower number, since it began earlier
        column[step.number] = max((column[source] + 1 for source in before[step.number]), default=0)
    rows = _rows(edges, column)
    placed = tuple(
        replace(
            edge, via=tuple((at, rows[edge.source, at]) for at in range(column[edge.source] + 1, column[edge.target]))
        )
        for edge in edges
    )
    nodes = tuple(Node(step, column[step.number], rows[step.number, column[step.number]]) for step in steps)
    return Graph(nodes, placed)


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


def _rows(edges: Sequence[Edge], column: dict[int, int]) -> dict[tuple[int, int], float]:
    """(step, column) -> row, of each step in its own column and of its lane in columns to the right of that.

    In each column they stand in the order of the mean row of what leads to them.
    """
    leads: dict[tuple[int, int], set[tuple[int, int]]] = {(number, at): set() for number, at in column.items()}
    for edge in edges:
        last = (edge.source, column[edge.source])
        for at in range(column[edge.source] + 1, column[edge.target]):
            leads.setdefault((edge.source, at), set()).add(last)
            last = (edge.source, at)
        leads[edge.target, column[edge.target]].add(last)
    rows: dict[tuple[int, int], float] = {}
    for at in range(max(column.values(), default=-1) + 1):
        here = sorted((key for key in leads if key[1] == at), key=lambda key: (_mean(leads[key], rows), key[0]))
        sizes = [1.0 if column[number] == at else _LANE for number, _ in here]
        top = -sum(sizes) / 2
        for key, size in zip(here, sizes, strict=True):
            rows[key] = top + size / 2
            top += size
    lowest = min((row for (number, at), row in rows.items() if column[number] == at), default=0.0)
    return {key: row - lowest for key, row in rows.items()}


def _mean(keys: Collection[tuple[int, int]], rows: Mapping[tuple[int, int], float]) -> float:
    return sum(rows[key] for key in keys) / len(keys) if keys else 0.0
