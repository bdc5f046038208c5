"""Whether this machine loads a version: it is read from its bytes, under this user's trust, and let go again.

Writes nothing. A version that needs trust which this user has not given does not load: nothing of it is run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from modelmgmt.models import formats
from modelmgmt.models.load import load_digest
from modelmgmt.models.registry.gates import Condition

if TYPE_CHECKING:
    from modelmgmt.store.kernel import Kernel

_WHAT = "loads on this machine"
_WAYS_OUT = "promote it where it loads, or pass force=True with a reason"


def can_be_asked(format_: str) -> bool:
    """Whether this library loads versions of that format. Of others, which `log_model` did not make, nothing is asked."""
    return format_ in formats.NAMES


def loads_here(kernel: Kernel, digest: str) -> Condition:
    """Load it once, whatever its size, as `load_model` would: met when that works."""
    try:
        load_digest(kernel, digest, cached=False)
    except Exception as error:  # noqa: BLE001 - whatever a library raises, the model does not load
        said = " ".join(str(error).split())
        found = f"it does not load on this machine ({type(error).__name__}: {said}): {_WAYS_OUT}"
        return Condition(_WHAT, is_met=False, found=found)
    return Condition(_WHAT, is_met=True, found="it loads on this machine")


def not_tried() -> Condition:
    """What is recorded when the caller did not want to wait for it, or knows better."""
    return Condition(_WHAT, is_met=False, found="it was not loaded, because force was given")
