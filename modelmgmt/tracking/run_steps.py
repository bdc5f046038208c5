"""What a run knows of the steps that were called in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from modelmgmt.store.kernel import Kernel
    from modelmgmt.tracking.steps.table import Step


class StepsOfRun:
    """A part of `Run`."""

    if TYPE_CHECKING:
        kernel: Kernel
        id: str

    @property
    def steps(self) -> tuple[Step, ...]:
        """The calls of functions that are decorated with `mm.step`, in the order in which they began."""
        from modelmgmt.tracking.steps.table import read

        with self.kernel.database.reading() as connection:
            return read(connection, self.id)
