"""Where the nodes of a lineage stand in a picture: columns from left to right, arrows around what they do not mean. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

from modelmgmt.models.lineage.graph import Edge, Lineage, Node

Point = tuple[float, float]
_SWEEPS = 6  # of ordering, left to right and back


@dataclass(frozen=True)
class Layout:
    """A picture without its colours. Columns and rows are one apart, and both begin with 0."""

    lineage: Lineage
    places: Mapping[str, Point]
    paths: Mapping[Edge, tuple[Point, ...]]
    """From the start of each edge to its end, through a free place in every column in between."""
    columns: int
    rows: float


def collapsed(lineage: Lineage, max_alike: int = 6) -> Lineage:
    """For a picture, that a hundred runs of one dataset do not fill.

    Of each kind in each column at most `max_alike` stay, first those that lead to a stage or an alias; the others become
    one node that says how many they are.
    """
    leading = _leading(lineage)
    merged: dict[str, Node] = {}
    for column in layers(lineage):
        for kind in dict.fromkeys(lineage.nodes[name].kind for name in column):
            alike = [name for name in column if lineage.nodes[name].kind == kind and name not in lineage.roots]
            alike.sort(key=lambda name: name not in leading)
            rest = alike[max_alike:] if len(alike) > max_alike + 1 else []
            word = f"{len(rest):,} more {kind if kind in ('data', 'predictions') else f'{kind}s'}"
            merged |= dict.fromkeys(rest, Node(f"more:{kind}:{rest[0]}", kind, word)) if rest else {}
    if not merged:
        return lineage
    nodes = {node.id: node for name, known in lineage.nodes.items() for node in [merged.get(name, known)]}
    ends = ((merged.get(e.start, lineage.nodes[e.start]).id, merged.get(e.end, lineage.nodes[e.end]).id, e.role)
            for e in lineage.edges)  # fmt: skip
    return Lineage(lineage.roots, nodes, tuple(dict.fromkeys(Edge(*end) for end in ends if end[0] != end[1])))


def _leading(lineage: Lineage) -> set[str]:
    """What a stage or an alias came from."""
    into: dict[str, list[str]] = {}
    for edge in lineage.edges:
        into.setdefault(edge.end, []).append(edge.start)
    found, todo = set[str](), [node.id for node in lineage.of("deployment")]
    while todo:
        name = todo.pop()
        if name not in found:
            found.add(name)
            todo += into.get(name, [])
    return found


def layers(lineage: Lineage) -> list[list[str]]:
    """The nodes in columns, each right of all that went into it: for whoever draws them.

    Where runs and data feed one another in a circle, the circle is cut where it is first met.
    """
    into: dict[str, list[str]] = {}
    for edge in lineage.edges:
        into.setdefault(edge.end, []).append(edge.start)
    depth: dict[str, int] = {}
    for node in lineage.nodes:
        _deepen(node, into, depth)
    out: dict[str, list[str]] = {}
    for edge in lineage.edges:
        out.setdefault(edge.start, []).append(edge.end)
    for node, ends in out.items():
        if not into.get(node):  # beside the first thing that it went into
            depth[node] = max(0, min(depth[end] for end in ends) - 1)
    columns: list[list[str]] = [[] for _ in range(max(depth.values(), default=-1) + 1)]
    for node in sorted(lineage.nodes, key=lambda name: (lineage.nodes[name].kind, lineage.nodes[name].label)):
        columns[depth[node]].append(node)
    return columns


def _deepen(node: str, into: Mapping[str, list[str]], depth: dict[str, int]) -> None:
    """Without recursion: a chain of runs may be long."""
    open_nodes: set[str] = set()
    todo = [node]
    while todo:
        name = todo[-1]
        if name in depth:
            todo.pop()
            continue
        open_nodes.add(name)
        waiting = [start for start in into.get(name, ()) if start not in depth and start not in open_nodes]
        if waiting:
            todo.extend(waiting[:1])
            continue
        depth[name] = 1 + max((depth[start] for start in into.get(name, ()) if start in depth), default=-1)
        open_nodes.discard(name)
        todo.pop()


def layout(lineage: Lineage, max_alike: int = 6) -> Layout:
    """Where everything stands. A layered drawing (Sugiyama, 1981): columns by depth, edges that pass a column take a place
    in it, and each column is ordered by where its neighbours stand.
    """
    shown = collapsed(lineage, max_alike)
    columns = [list(column) for column in layers(shown)]
    depth = {name: x for x, column in enumerate(columns) for name in column}
    chains: dict[Edge, list[str]] = {}
    for number, edge in enumerate(shown.edges):
        passed = range(depth[edge.start] + 1, depth[edge.end])
        lanes = [f"lane {number} {x}" for x in passed]
        for x, lane in zip(passed, lanes, strict=True):
            columns[x].append(lane)
        chains[edge] = [edge.start, *lanes, edge.end]
    _order(columns, chains)
    rows = max((len(column) for column in columns), default=1)
    places = {
        name: (float(x), rows / 2 + len(column) / 2 - y - 1)
        for x, column in enumerate(columns)
        for y, name in enumerate(column)
    }
    paths = {edge: tuple(places[name] for name in chain) for edge, chain in chains.items()}
    return Layout(shown, {name: places[name] for name in shown.nodes}, paths, len(columns), float(rows))


def _order(columns: list[list[str]], chains: Mapping[Edge, list[str]]) -> None:
    """Order each column by the mean place of its neighbours on one side, then on the other; who has none stays."""
    before: dict[str, list[str]] = {}
    after: dict[str, list[str]] = {}
    for chain in chains.values():
        for one, other in pairwise(chain):
            after.setdefault(one, []).append(other)
            before.setdefault(other, []).append(one)
    for sweep in range(_SWEEPS):
        is_forth = sweep % 2 == 0
        for column in columns if is_forth else reversed(columns):
            place = {name: y - len(each) / 2 for each in columns for y, name in enumerate(each)}
            column.sort(key=lambda name: _mean((before if is_forth else after).get(name, ()), place, place[name]))


def _mean(neighbours: list[str] | tuple[()], place: Mapping[str, float], otherwise: float) -> float:
    return sum(place[name] for name in neighbours) / len(neighbours) if neighbours else otherwise
