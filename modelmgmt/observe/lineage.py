"""Lineage with predictions: from one back to all that made it, and from what made them how many there are. Reads only."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from modelmgmt.models.lineage.graph import Direction, Edge, Lineage, Node, walk
from modelmgmt.models.lineage.rows import Graph, version_node
from modelmgmt.models.registry.rows import Tables, VersionRow
from modelmgmt.observe.batches import BATCHES, Target, Where
from modelmgmt.observe.makers import made_by, version_of

if TYPE_CHECKING:
    from modelmgmt.store.kernel import Kernel

PREFIX = "prediction:"
_ROLE = "predicted"
_PACKAGE = "package:"  # of a version that is not here


def lineage(kernel: Kernel, reference: object, direction: Direction = "both") -> Lineage:
    """What a reference came from, and what came of it; see `models.lineage.rows.lineage`. Also of `prediction:ID`."""
    root: list[Node] = []
    if isinstance(reference, str) and reference.startswith(PREFIX):
        root = [_prediction(kernel, reference.removeprefix(PREFIX))]
    with kernel.database.reading() as connection:
        graph = PredictionGraph(connection)
        return walk(root or graph.find(reference), graph, direction)


@dataclass(frozen=True, slots=True)
class PredictionGraph(Graph):
    """The graph of models, with predictions: one node for one that is asked for, else one for all of a version."""

    def up(self, node: Node) -> Iterator[tuple[Edge, Node]]:
        if node.kind == "prediction":
            detail = node.detail
            made_by = self._maker(Target(*(detail[name] for name in Target.__slots__)))
            yield Edge(made_by.id, node.id, _ROLE), made_by
        else:
            yield from Graph.up(self, node)

    def down(self, node: Node) -> Iterator[tuple[Edge, Node]]:
        if node.kind in ("prediction", "predictions"):
            return
        if node.id.startswith(_PACKAGE):  # what has the name of its number here is another version
            yield from self._predictions(node, ("package = ? AND model IS NOT NULL", (node.detail["digest"],)))
            return
        yield from Graph.down(self, node)
        if node.kind == "version":
            row = Tables(self.connection).find(VersionRow, node.detail["model"], node.detail["number"])
            if row is not None:
                yield from self._predictions(node, made_by(self.connection, row))
        elif node.kind == "run":
            yield from self._predictions(node, ("run = ? AND model IS NULL", (node.detail["run"],)))
            yield from self._unregistered(node)

    def _predictions(self, node: Node, where: Where) -> Iterator[tuple[Edge, Node]]:
        condition, values = where
        sql = f"""
            SELECT label, sum(rows), min(first_at), max(last_at) FROM {BATCHES} WHERE {condition}
            GROUP BY label ORDER BY label
            """
        for label, count, first, last in self.rows(sql, *values):
            place = "" if label is None else f" as {label}"
            id_ = f"predictions:{node.id}{'' if label is None else f'@{label}'}"
            detail = {"count": count, "first": first, "last": last, "deployment": label}
            yield (
                Edge(node.id, id_, _ROLE),
                Node(id_, "predictions", f"{count:,}{place}, {_days(first, last)}", detail),
            )

    def _unregistered(self, node: Node) -> Iterator[tuple[Edge, Node]]:
        """Packages of a run that have predicted as versions that are not here."""
        sql = f"""
            SELECT DISTINCT model, number, run, artifact, package FROM {BATCHES}
            WHERE run = ? AND model IS NOT NULL ORDER BY model, number
            """
        found: dict[str, Node] = {}
        for model, number, *about in self.rows(sql, node.detail["run"]):
            maker = self._maker(Target(model, number, None, *about))
            if maker.id.startswith(_PACKAGE):
                found.setdefault(maker.id, maker)
        for maker in found.values():
            yield Edge(node.id, maker.id, "made"), maker

    def _maker(self, target: Target) -> Node:
        """The version that predicted; where it is not here (deleted, or of a store that was merged), its run."""
        row = version_of(self.connection, target)
        if row is not None:
            return version_node(row)
        if target.run is not None and target.model is None:
            return self.run(target.run)
        is_there = Tables(self.connection).find(VersionRow, str(target.model), target.number) is not None
        detail = {
            "model": target.model,
            "number": target.number,
            "stage": None,
            "run": target.run,
            "digest": target.package,
        }
        label = f"{target.reference} ({'another one here' if is_there else 'not here'})"
        return Node(f"{_PACKAGE}{target.package}", "version", label, detail)


def _days(first: str, last: str) -> str:
    return first[:10] if first[:10] == last[:10] else f"{first[:10]} to {last[:10]}"


def _prediction(kernel: Kernel, id_: str) -> Node:
    from modelmgmt.observe.predictions import find, prediction_at

    block, place = find(kernel, id_)
    found = prediction_at(block, place)
    about = {name: getattr(block.target, name) for name in Target.__slots__}
    detail = {**about, "version": found.version, "time": found.time.isoformat(), "batch": found.batch}
    return Node(f"{PREFIX}{found.id}", "prediction", found.id, detail)
