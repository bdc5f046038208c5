"""The front door: `Store`, and the functions that work on the store of the place where one stands.

Everything here is a thin call into the room that does it; this is the one place where the rooms meet.
"""

from modelmgmt.front.found import CommitHistory, Comparison, GroupComparison, Run, Runs
from modelmgmt.front.functions import active_run, disable, log, start_run
from modelmgmt.front.store import Store, existing_store
from modelmgmt.tracking.steps import step

__all__ = [
    "CommitHistory", "Comparison", "GroupComparison", "Run", "Runs", "Store", "active_run", "disable", "existing_store",
    "log", "start_run", "step",
]  # fmt: skip
