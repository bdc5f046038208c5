"""The front door: `Store`, and the functions that work on the default store.

Everything here is a thin call into the room that does it; this is the one place where the rooms meet.
"""

from modelmgmt.front.found import CommitHistory, Comparison, GroupComparison, Run, Runs
from modelmgmt.front.functions import (
    active_run,
    disable,
    finish,
    load_model,
    log,
    log_artifact,
    log_dataset,
    log_dict,
    log_figure,
    log_image,
    log_model,
    log_params,
    log_table,
    log_text,
    set_tags,
    start_run,
)
from modelmgmt.front.store import Store, existing_store
from modelmgmt.models.packaging.signature import infer as infer_signature
from modelmgmt.tracking.steps import step
from modelmgmt.versions.data.given import DataReference, SqlQuery

__all__ = [
    "CommitHistory", "Comparison", "DataReference", "GroupComparison", "Run", "Runs", "SqlQuery", "Store", "active_run",
    "disable", "existing_store", "finish", "infer_signature", "load_model", "log", "log_artifact", "log_dataset", "log_dict",
    "log_figure", "log_image", "log_model", "log_params", "log_table", "log_text", "set_tags", "start_run", "step",
]  # fmt: skip
