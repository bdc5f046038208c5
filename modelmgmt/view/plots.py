"""Plots of runs: each takes what the other rooms give, and draws it on matplotlib Axes, which it returns.

What is drawn comes as values from `modelmgmt.tracking`: a run collection, a comparison, the steps of a run. Without `ax` a
new figure is made: in a notebook, and wherever pyplot is already imported, through pyplot, so that it shows by itself; in
a plain script without pyplot, so that no window and no global state is left behind. `save` keeps it.
"""

from modelmgmt.view.drawing.bars import importance
from modelmgmt.view.drawing.commits import history
from modelmgmt.view.drawing.coordinates import parallel
from modelmgmt.view.drawing.dots import scatter
from modelmgmt.view.drawing.graph import pipeline
from modelmgmt.view.drawing.intervals import compare
from modelmgmt.view.drawing.lines import curves
from modelmgmt.view.drawing.origins import lineage
from modelmgmt.view.figures import save

__all__ = ["compare", "curves", "history", "importance", "lineage", "parallel", "pipeline", "save", "scatter"]


def __dir__() -> list[str]:
    return __all__
