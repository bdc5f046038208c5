"""Drawing where a model came from and where it went. Draws, never computes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from modelmgmt.models.lineage import collapsed, layers
from modelmgmt.view.figures import new_figure, printable

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from modelmgmt.models.lineage import Kind, Lineage, Node

# Fill, edge: pale enough for black text, apart in grey and for the colour-blind.
_COLOURS: dict[Kind, tuple[str, str]] = {
    "data": ("#d7ebf7", "#0072b2"),
    "code": ("#fdf3c9", "#b38f00"),
    "environment": ("#eeeeee", "#777777"),
    "run": ("#d9f0e4", "#008a5e"),
    "version": ("#fbe0c8", "#c25700"),
    "deployment": ("#f5d9e6", "#b0417a"),
}
_NAMES: dict[Kind, str] = {"deployment": "stage or alias"}
_LINE = 24  # characters in a box


def lineage(found: Lineage, *, ax: Axes | None = None, max_alike: int = 6) -> Axes:
    """Draw a lineage from left to right: what went in, what came out; what was asked for has a thick frame.

    Of things of one kind in a column at most `max_alike` are drawn, and how many more there are. `ax` is drawn on when it
    is given. Returns the Axes.
    """
    shown = collapsed(found, max_alike)
    columns = layers(shown)
    tallest = max((len(column) for column in columns), default=1)
    if ax is None:
        ax = new_figure((max(4.0, 2.35 * len(columns)), max(2.2, 0.62 * tallest + 0.9))).subplots()
    places = {
        name: (float(x), tallest / 2 - len(column) / 2 + y + 0.5)
        for x, column in enumerate(columns)
        for y, name in enumerate(reversed(column))
    }
    for edge in shown.edges:
        _arrow(ax, places[edge.start], places[edge.end])
    for name, node in shown.nodes.items():
        _box(ax, node, places[name], is_root=name in shown.roots)
    ax.set_xlim(-0.55, len(columns) - 0.45)
    ax.set_ylim(0, tallest)
    ax.axis("off")
    _explain(ax, shown)
    return ax


def _arrow(ax: Axes, start: tuple[float, float], end: tuple[float, float]) -> None:
    from matplotlib.patches import FancyArrowPatch
    from matplotlib.path import Path

    (x0, y0), (x1, y1) = (start[0] + 0.37, start[1]), (end[0] - 0.37, end[1])
    bend = (x1 - x0) / 2
    path = Path([(x0, y0), (x0 + bend, y0), (x1 - bend, y1), (x1, y1)], [1, 4, 4, 4])
    ax.add_patch(
        FancyArrowPatch(path=path, arrowstyle="-|>", mutation_scale=9, linewidth=0.9, color="#8a8a8a", zorder=1)
    )


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
        x, y, printable(node.label, _LINE), ha="center", va="center", fontsize=7.5, color="#1a1a1a", zorder=3,
        fontweight="bold" if is_root else "normal",
    )  # fmt: skip
    text.set_parse_math(False)


def _explain(ax: Axes, shown: Lineage) -> None:
    from matplotlib.patches import Patch

    there = {node.kind for node in shown.nodes.values()}
    handles = [
        Patch(facecolor=fill, edgecolor=line, label=_NAMES.get(kind, kind))
        for kind, (fill, line) in _COLOURS.items()
        if kind in there
    ]
    ax.legend(
        handles=handles, loc="upper center", bbox_to_anchor=(0.5, 0.0), ncols=len(handles), frameon=False, fontsize=8
    )
