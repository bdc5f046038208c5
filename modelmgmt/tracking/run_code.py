"""What a run knows of the code and the environment that made it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from modelmgmt.store.kernel import Kernel
    from modelmgmt.tracking.guard import Guard


class CodeOfRun:
    """A part of `Run`."""

    if TYPE_CHECKING:
        kernel: Kernel
        id: str

        def _writable(self) -> Guard: ...
