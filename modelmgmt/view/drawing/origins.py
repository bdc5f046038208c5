"""Where a model came from and where it went. The data comes from `store.lineage`, the places from `models.lineage.layout`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from modelmgmt.errors import InvalidTypeError
from modelmgmt.models.lineage.graph import Lineage
from modelmgmt.models.lineage.layout import layout
from modelmgmt.view.figures import new_figure, printable

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from modelmgmt.models.lineage.graph import Kind, Node

# Fill, edge: pale enough for black text, apart in grey and for the colour-blind.
_COLOURS: dict[Kind, tuple[str, str]] = {
    "data": ("#d7ebf7", "#0072b2"),
    "code": ("#fdf3c9", "#b38f00"),
    "environment": ("#eeeeee", "#777777"),
    "run": ("#d9f0e4", "#008a5e"),
    "bundle": ("#f3e3d3", "#8c5a2b"),
    "version": ("#fbe0c8", "#c25700"),
    "deployment": ("#f5d9e6", "#b0417a"),
    "prediction": ("#e6e0f8", "#6a51a3"),
    "predictions": ("#e6e0f8", "#6a51a3"),
}
NAMES: dict[Kind, str] = {"deployment": "stage or alias"}
KINDS = list(_COLOURS)
"""In the order in which they come from each other."""
_LINE = 24  # characters in a box
_HALF = 0.37  # of a box's width; columns are 1 apart


def lineage(found: Lineage, *, ax: Axes | None = None, max_alike: int = 6) -> Axes:
    """Draw a lineage from left to right: what went in, what came out; what was asked for has a thick frame. Arrows of what
    is only told, by a bundle, are dashed.

    Of things of one kind in a column at most `max_alike` are drawn, and how many more there are. `ax` is drawn on when it
    is given. Returns the Axes. Raises InvalidTypeError for anything but what `store.lineage` gives.
    """
    if not isinstance(found, Lineage):
        raise InvalidTypeError(f"lineage draws a lineage, and {type(found).__name__} was given: see store.lineage.")
    drawn = layout(found, max_alike)
    if ax is None:
        ax = new_figure((max(4.0, 2.35 * drawn.columns), max(2.2, 0.62 * drawn.rows + 0.9))).subplots()
    for edge, path in drawn.paths.items():
        _arrow(ax, path, is_told=edge.role.endswith("(claimed)"))
    for name, node in drawn.lineage.nodes.items():
        _box(ax, node, drawn.places[name], is_root=name in drawn.lineage.roots)
    ax.set_xlim(-0.5, drawn.columns - 0.5)
    ax.set_ylim(-0.5, drawn.rows - 0.5)
    ax.axis("off")
    _explain(ax, drawn.lineage)
    return ax


def _arrow(ax: Axes, points: Sequence[tuple[float, float]], *, is_told: bool) -> None:
    """A curve through the points: level at each of them, straight past the boxes of a column in between."""
    from matplotlib.patches import FancyArrowPatch
    from matplotlib.path import Path

    vertices, codes = [(points[0][0] + _HALF, points[0][1])], [int(Path.MOVETO)]
    for place, (x, y) in enumerate(points[1:], start=1):
        begin, end = vertices[-1], (x - _HALF, y)
        bend = (end[0] - begin[0]) / 2
        vertices += [(begin[0] + bend, begin[1]), (end[0] - bend, y), end]
        codes += [int(Path.CURVE4)] * 3
        if place < len(points) - 1:
            vertices.append((x + _HALF, y))
            codes.append(int(Path.LINETO))
    arrow = FancyArrowPatch(
        path=Path(vertices, codes), arrowstyle="-|>", mutation_scale=9, linewidth=0.9, color="#8a8a8a", zorder=1,
        linestyle="--" if is_told else "-",
    )  # fmt: skip
    ax.add_patch(arrow)


def _box(ax: Axes, node: Node, place: tuple[float, float], *, is_root: bool) -> None:
    from matplotlib.patches import FancyBboxPatch

    fill, line = _COLOURS[node.kind]
    x, y = place
    box = FancyBboxPatch(
        (x - 0.36, y - 0.26), 0.72, 0.52, boxstyle="round,pad=0.01,rounding_size=0.06", facecolor=fill, edgecolor=line,
        linewidth=2.2 if is_root else 0.9, mutation_aspect=1.0, zorder=2,
    )  # fmt: skip
    ax.add_patch(box)
    text = ax.text(
        x, y, _lettering(node), ha="center", va="center", fontsize=7.5, color="#1a1a1a", zorder=3,
        fontweight="bold" if is_root else "normal",
    )  # fmt: skip
    text.set_parse_math(False)


def _lettering(node: Node) -> str:
    """What is said beside a name is a line of its own: together they have no room."""
    if node.kind == "predictions":
        parts = node.label.rsplit(", ", 1)
    else:
        parts = re.split(", " if node.kind == "bundle" else r" (?=\()", node.label, maxsplit=1)
    return "\n".join(printable(part, _LINE) for part in parts)


def _explain(ax: Axes, shown: Lineage) -> None:
    from matplotlib.patches import Patch

    there = {node.kind for node in shown.nodes.values()}
    handles = [
        Patch(facecolor=fill, edgecolor=line, label=NAMES.get(kind, kind))
        for kind, (fill, line) in _COLOURS.items()
        if kind in there
    ]
    ax.legend(
        handles=handles, loc="upper center", bbox_to_anchor=(0.5, 0.0), ncols=len(handles), frameon=False, fontsize=8
    )
