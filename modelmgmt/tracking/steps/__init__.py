"""Pipeline steps: calls of functions as nodes of a graph, and work that is skipped when nothing has changed.

`call` is the decorator, `table` alone writes the table `steps`, `code` and `values` fingerprint what went in, `results`
keeps what came out, and `trace` knows which step a value came from.
"""

from modelmgmt.tracking.steps.call import step
from modelmgmt.tracking.steps.table import Step, StepInput, read

__all__ = ["Step", "StepInput", "read", "step"]
