"""What a run knows of the data that it read and wrote."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from modelmgmt.store.kernel import Kernel
    from modelmgmt.tracking.guard import Guard


class DataOfRun:
    """A part of `Run`."""

    if TYPE_CHECKING:
        kernel: Kernel
        id: str

        def _writable(self) -> Guard: ...
