"""Where a model came from and where it went, as a table. The picture is `modelmgmt.view.drawing.origins`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from modelmgmt.store.names import counted
from modelmgmt.view.drawing.origins import KINDS, NAMES
from modelmgmt.view.tables import SHOWN_ROWS, Column, Table
from modelmgmt.view.text import clean

if TYPE_CHECKING:
    from modelmgmt.models.lineage.graph import Lineage, Node

_MOST_ROWS = 100


def lineage_table(found: Lineage) -> Table:
    """What went into what, a step a row, from what came first; what was asked for is in the note."""
    columns = tuple(map(Column, ("from", "kind", "as", "to", "kind")))
    nodes = found.nodes
    rows = tuple(
        (
            clean(nodes[edge.start].label, 60), _name(nodes[edge.start]), clean(edge.role), clean(nodes[edge.end].label, 60),
            _name(nodes[edge.end]),
        )
        for edge in sorted(found.edges, key=lambda edge: KINDS.index(nodes[edge.start].kind))
    )  # fmt: skip
    asked = ", ".join(clean(nodes[root].label, 60) for root in found.roots[:SHOWN_ROWS])
    return Table(
        columns, rows[:_MOST_ROWS], "\n".join([f"The lineage of {asked}.", *_left_out(len(rows) - _MOST_ROWS)])
    )


def _name(node: Node) -> str:
    return NAMES.get(node.kind, node.kind)


def _left_out(more: int) -> list[str]:
    return [f"{counted(more, 'more step is', 'more steps are')} not shown: to_frame() has all."] if more > 0 else []
