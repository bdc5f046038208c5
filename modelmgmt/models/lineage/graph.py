"""What came from what: a graph of models, runs, code, data and environments, walked both ways. Pure.

An edge leads from what went in to what came out: data, code and environment -> run -> version -> where it is used.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

from modelmgmt.errors import InvalidValueError

if TYPE_CHECKING:
    import pandas as pd

Kind = Literal["code", "data", "environment", "run", "bundle", "version", "deployment", "prediction", "predictions"]
Direction = Literal["both", "up", "down"]


@dataclass(frozen=True, slots=True)
class Node:
    """One thing. `id` is also a reference to it: `churn:3`, `churn@production`, `run:ID`, `data:NAME:2`, `code:COMMIT`,
    `bundle:SHA256`, `prediction:ID`; but for all predictions of a version, which are one node."""

    id: str
    kind: Kind
    label: str
    """What a person calls it."""
    detail: Mapping[str, Any] = field(default_factory=dict, compare=False)


@dataclass(frozen=True, slots=True)
class Edge:
    """`start` went into `end`, as what `role` says. A role that ends in `(claimed)` is what a bundle or its package says."""

    start: str
    end: str
    role: str


class Neighbours(Protocol):
    """Where the graph comes from: what is one edge away from a node."""

    def up(self, node: Node) -> Iterable[tuple[Edge, Node]]: ...
    def down(self, node: Node) -> Iterable[tuple[Edge, Node]]: ...


@dataclass(frozen=True)
class Lineage:
    """What was asked for (`roots`), all that went into it, and all that came of it."""

    roots: tuple[str, ...]
    nodes: Mapping[str, Node]
    edges: tuple[Edge, ...]

    def of(self, kind: Kind) -> list[Node]:
        """The nodes of one kind."""
        return [node for node in self.nodes.values() if node.kind == kind]

    def to_frame(self) -> pd.DataFrame:
        """One row an edge: start, start_kind, end, end_kind, role."""
        import pandas as pd

        columns = ["start", "start_kind", "end", "end_kind", "role"]
        rows = [(e.start, self.nodes[e.start].kind, e.end, self.nodes[e.end].kind, e.role) for e in self.edges]
        return pd.DataFrame(rows, columns=columns)

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "roots": list(self.roots),
            "nodes": [
                {"id": node.id, "kind": node.kind, "label": node.label, **node.detail} for node in self.nodes.values()
            ],
            "edges": [{"from": edge.start, "to": edge.end, "role": edge.role} for edge in self.edges],
        }

    def lines(self, max_children: int = 20) -> Iterator[str]:
        """Two trees as text: what went into each root, and what came of it."""
        for root in self.roots:
            yield _named(self.nodes[root])
            for title, ways in (("from", self._steps(up=True)), ("to", self._steps(up=False))):
                if ways.get(root):
                    yield f"  {title}"
                    yield from self._branches(root, ways, "    ", {root}, max_children)

    def _steps(self, *, up: bool) -> dict[str, list[tuple[str, str]]]:
        """Node -> (role, the next one) in one direction."""
        steps: dict[str, list[tuple[str, str]]] = {}
        for edge in self.edges:
            start, end = (edge.end, edge.start) if up else (edge.start, edge.end)
            steps.setdefault(start, []).append((edge.role, end))
        return steps

    def _branches(
        self, node: str, ways: Mapping[str, list[tuple[str, str]]], indent: str, above: set[str], max_children: int
    ) -> Iterator[str]:
        children = ways.get(node, [])
        for role, child in children[:max_children]:
            again = child in above
            yield f"{indent}{role}: {_named(self.nodes[child])}{' (above)' if again else ''}"
            if not again:
                yield from self._branches(child, ways, indent + "  ", above | {child}, max_children)
        if len(children) > max_children:
            yield f"{indent}and {len(children) - max_children:,} more"

    def __str__(self) -> str:
        return "\n".join(self.lines())


def walk(roots: Sequence[Node], neighbours: Neighbours, direction: Direction = "both") -> Lineage:
    """Everything upstream of the roots, and everything downstream; what shares only an ancestor with them is left out.

    Raises InvalidValueError for another direction.
    """
    if direction not in ("both", "up", "down"):
        raise InvalidValueError(f"direction is 'both', 'up' or 'down', and {direction!r} was given.")
    nodes = {node.id: node for node in roots}
    edges: dict[Edge, None] = {}
    for name, step in (("up", neighbours.up), ("down", neighbours.down)):
        if direction not in ("both", name):
            continue
        todo, seen = deque(roots), {node.id for node in roots}
        while todo:
            for edge, node in step(todo.popleft()):
                edges[edge] = None
                nodes.setdefault(node.id, node)
                if node.id not in seen:
                    seen.add(node.id)
                    todo.append(node)
    return Lineage(tuple(node.id for node in roots), nodes, tuple(edges))


def _named(node: Node) -> str:
    return node.label if node.kind in ("version", "deployment", "predictions") else f"{node.kind} {node.label}"
