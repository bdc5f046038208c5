"""The steps of a run as a graph. Where each stands comes from `modelmgmt.tracking.steps.graph`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from modelmgmt.errors import NotFoundError
from modelmgmt.tracking.steps.graph import Edge, Graph, Node, graph
from modelmgmt.view.figures import new_figure, printable
from modelmgmt.view.text import format_duration

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from modelmgmt.tracking.run import Run

_WIDTH, _HEIGHT = 2.1, 0.86  # of a box, in the units of the picture, which are inches
_ACROSS, _DOWN = 3.0, 1.25  # from one box to the next
_LOOK = {
    "ran": ("#DCEBF7", "#0072B2"), "cached": ("#DDF1E6", "#009E73"), "failed": ("#F9DFD1", "#D55E00"),
    "running": ("#FBF0CF", "#B8860B"),
}  # fmt: skip


def pipeline(run: Run, *, ax: Axes | None = None) -> Axes:
    """Draw the steps of a run: a box each, and an arrow from a step to each that took what it gave.

    A box says whether the step ran, was cached or failed, how long it took, and what came out; below it stands why a step
    that could have been skipped ran, or failed. A dotted line leads to a step that was called inside another. Raises
    NotFoundError when the run has no steps.
    """
    steps = run.steps
    if not steps:
        raise NotFoundError(
            f"The run {run.name} has no steps: decorate functions with mm.step, and call them in a run."
        )
    laid_out = graph(steps)
    width, height = _ACROSS * (laid_out.columns - 1) + _WIDTH + 0.5, _DOWN * laid_out.height + _HEIGHT + 0.6
    axis = ax if ax is not None else new_figure((min(max(width, 4.0), 24.0), min(max(height, 1.8), 24.0))).subplots()
    for edge in laid_out.edges:
        _edge(axis, laid_out, edge)
    for node in laid_out.nodes:
        _box(axis, node)
    rows = [*(node.row for node in laid_out.nodes), *(row for edge in laid_out.edges for _, row in edge.via)]
    axis.set_xlim(-_WIDTH / 2 - 0.2, _ACROSS * (laid_out.columns - 1) + _WIDTH / 2 + 0.2)
    axis.set_ylim(max(rows) * _DOWN + _HEIGHT / 2 + 0.25, min(rows) * _DOWN - _HEIGHT / 2 - 0.25)
    axis.set_aspect("equal")
    axis.set_axis_off()
    return axis


def _place(node: Node) -> tuple[float, float]:
    return node.column * _ACROSS, node.row * _DOWN


def _box(axis: Axes, node: Node) -> None:
    from matplotlib.patches import FancyBboxPatch

    x, y = _place(node)
    face, edge = _LOOK[node.step.status]
    box = FancyBboxPatch(
        (x - _WIDTH / 2, y - _HEIGHT / 2), _WIDTH, _HEIGHT, boxstyle="round,pad=0,rounding_size=0.12", facecolor=face,
        edgecolor=edge, linewidth=1.3, zorder=3,
    )  # fmt: skip
    axis.add_patch(box)
    step = node.step
    took = f", {format_duration(step.duration_s)}" if step.duration_s is not None else ""
    lines = (
        (-0.24, printable(step.name, 24), 9.5 if len(step.name) <= 18 else 7.5, "bold", "black"),
        (0.03, f"{step.status}{took}", 8.0, "normal", edge),
        (0.27, printable(step.output or "", 28), 7.5, "normal", "0.3"),
    )
    for offset, text, size, weight, colour in lines:
        axis.text(x, y + offset, text, fontsize=size, fontweight=weight, color=colour, ha="center", va="center", zorder=4,
                  parse_math=False)  # fmt: skip
    if step.status == "failed" or (step.status == "ran" and step.parts):
        axis.text(x, y + _HEIGHT / 2 + 0.1, printable(step.reason, 48), fontsize=6, color="0.3", ha="center", va="center",
                  zorder=4, parse_math=False)  # fmt: skip


def _edge(axis: Axes, laid_out: Graph, edge: Edge) -> None:
    """A soft line from box to box, straight through its lanes, with the name of the input on it."""
    from matplotlib.patches import FancyArrowPatch
    from matplotlib.path import Path

    places = {node.step.number: _place(node) for node in laid_out.nodes}
    (x, y), (x_end, y_end) = places[edge.source], places[edge.target]
    points, codes = [(x + _WIDTH / 2, y)], [Path.MOVETO]
    for column, row in edge.via:
        middle = column * _ACROSS
        points += _curve(points[-1], (middle - _WIDTH / 2, row * _DOWN))
        points.append((middle + _WIDTH / 2, row * _DOWN))
        codes += [Path.CURVE4] * 3 + [Path.LINETO]
    points += _curve(points[-1], (x_end - _WIDTH / 2, y_end))
    codes += [Path.CURVE4] * 3
    arrow = FancyArrowPatch(
        path=Path(points, codes), arrowstyle="-|>", mutation_scale=11, color="0.45", linewidth=1.1,
        linestyle=":" if edge.is_inside else "-", zorder=2,
    )  # fmt: skip
    axis.add_patch(arrow)
    if edge.label:
        start, end = points[-4], points[-1]
        at = ((start[0] + end[0]) / 2, (start[1] + end[1]) / 2)
        box = {"boxstyle": "round,pad=0.1", "facecolor": axis.get_facecolor(), "edgecolor": "none", "alpha": 0.85}
        axis.text(*at, printable(edge.label, 12), fontsize=7, color="0.3", ha="center", va="center", zorder=2.5, bbox=box,
                  parse_math=False)  # fmt: skip


def _curve(start: tuple[float, float], end: tuple[float, float]) -> list[tuple[float, float]]:
    """The other three points of a cubic that leaves and arrives level."""
    middle = (start[0] + end[0]) / 2
    return [(middle, start[1]), (middle, end[1]), end]
