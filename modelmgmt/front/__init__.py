"""The front door: `Store`, and the functions that work on the store of the place where one stands.

Everything here is a thin call into the room that does it; this is the one place where the rooms meet.
"""

from modelmgmt.front.found import CommitHistory, Comparison, GroupComparison, Run, Runs
from modelmgmt.front.functions import active_run, disable, load_model, log, start_run
from modelmgmt.front.store import Store, existing_store
from modelmgmt.models.packaging.signature import infer as infer_signature
from modelmgmt.tracking.steps import step
from modelmgmt.versions.data.given import Reference, SqlQuery

__all__ = [
    "CommitHistory", "Comparison", "GroupComparison", "Reference", "Run", "Runs", "SqlQuery", "Store",
    "active_run", "disable", "existing_store", "infer_signature", "load_model", "log", "start_run", "step",
]  # fmt: skip
