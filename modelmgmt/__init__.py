"""Everything about a machine-learning model, kept in one local folder.

    import modelmgmt as mm

    with mm.start_run("churn", params={"lr": 1e-3}) as run:
        run.log(loss=0.3)
    mm.Store().runs("metrics.loss < 0.5")

Importing this loads the standard library only; each name loads what it needs when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from modelmgmt import store as _store  # notes where the program was started, before it goes elsewhere

if TYPE_CHECKING:
    from modelmgmt import errors
    from modelmgmt.front import (
        CommitHistory,
        Comparison,
        DataReference,
        GroupComparison,
        Run,
        Runs,
        SqlQuery,
        Store,
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
        step,
    )
    from modelmgmt.models.packaging.signature import infer as infer_signature
    from modelmgmt.view import plots, report

del _store
__version__ = "0.1.0"

__all__ = [
    "CommitHistory", "Comparison", "DataReference", "GroupComparison", "Run", "Runs", "SqlQuery", "Store", "active_run",
    "disable", "errors", "finish", "infer_signature", "load_model", "log", "log_artifact", "log_dataset", "log_dict",
    "log_figure", "log_image", "log_model", "log_params", "log_table", "log_text", "plots", "report", "set_tags", "start_run",
    "step",
]  # fmt: skip

_MODULES = {"errors": "modelmgmt.errors", "plots": "modelmgmt.view.plots", "report": "modelmgmt.view.report"}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'modelmgmt' has no attribute {name!r}")
    value = import_module(_MODULES[name]) if name in _MODULES else getattr(import_module("modelmgmt.front"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
