"""Lineage with predictions: from one back to all that made it, and from what made them how many there are. Reads only."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from modelmgmt.models.lineage.graph import Direction, Edge, Lineage, Node, walk
from modelmgmt.models.lineage.rows import Graph, version_node
from modelmgmt.models.registry.rows import Tables, VersionRow
from modelmgmt.observe.batches import BATCHES, Target

if TYPE_CHECKING:
    from modelmgmt.store.kernel import Kernel

PREFIX = "prediction:"
_ROLE = "predicted"


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
        yield from Graph.down(self, node)
        if node.kind == "version":
            condition = "model = ? AND number = ? AND package = ?"
            detail = node.detail
            yield from self._predictions(node, condition, detail["model"], detail["number"], detail["digest"])
        elif node.kind == "run":
            yield from self._predictions(node, "run = ? AND model IS NULL", node.detail["run"])

    def _predictions(self, node: Node, condition: str, *values: object) -> Iterator[tuple[Edge, Node]]:
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

    def _maker(self, target: Target) -> Node:
        """The version that predicted; where it is not here (deleted, or of a store that was merged), its run."""
        where = "not here"
        if target.model is not None:
            row = Tables(self.connection).find(VersionRow, target.model, target.number)
            if row is not None and row.digest == target.package:
                return version_node(row)
            where = "not here" if row is None else "not the one here"
        if target.run is not None and target.model is None:
            return self.run(target.run)
        reference = target.reference
        detail = {
            "model": target.model,
            "number": target.number,
            "stage": None,
            "run": target.run,
            "digest": target.package,
        }
        return Node(f"package:{target.package}", "version", f"{reference} ({where})", detail)


def _days(first: str, last: str) -> str:
    return first[:10] if first[:10] == last[:10] else f"{first[:10]} to {last[:10]}"


def _prediction(kernel: Kernel, id_: str) -> Node:
    from modelmgmt.observe.predictions import find, prediction_at

    block, place = find(kernel, id_)
    found = prediction_at(block, place)
    about = {name: getattr(block.target, name) for name in Target.__slots__}
    detail = {**about, "version": found.version, "time": found.time.isoformat(), "batch": found.batch}
    return Node(f"{PREFIX}{found.id}", "prediction", found.id, detail)
