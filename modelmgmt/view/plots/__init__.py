"""Plots of runs: each takes what the other rooms give, and draws it on matplotlib Axes, which it returns.

What is drawn comes as values from `modelmgmt.tracking`: a run collection, a comparison, the steps of a run. Without `ax` a
new figure is made: in a notebook, and wherever pyplot is already imported, through pyplot, so that it shows by itself; in
a plain script without pyplot, so that no window and no global state is left behind. `save` keeps it.
"""

from modelmgmt.view.figures import save
from modelmgmt.view.plots.bars import importance
from modelmgmt.view.plots.commits import history
from modelmgmt.view.plots.coordinates import parallel
from modelmgmt.view.plots.dots import scatter
from modelmgmt.view.plots.graph import pipeline
from modelmgmt.view.plots.intervals import compare
from modelmgmt.view.plots.lines import curves
from modelmgmt.view.plots.origins import lineage

__all__ = ["compare", "curves", "history", "importance", "lineage", "parallel", "pipeline", "save", "scatter"]
