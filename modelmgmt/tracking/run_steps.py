"""What a run knows of the steps that were called in it."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from modelmgmt.store.kernel import Kernel
    from modelmgmt.tracking.steps.results import Vouching
    from modelmgmt.tracking.steps.table import Step


class StepsOfRun:
    """A part of `Run`."""

    _vouching: ClassVar[Vouching | None] = None
    """Whom to ask about results that are pickles. The room of models, which has the keys, says so of its part of a run."""

    if TYPE_CHECKING:
        _kernel: Kernel
        id: str

    @property
    def steps(self) -> tuple[Step, ...]:
        """The calls of functions that are decorated with `mm.step`, in the order in which they began."""
        from modelmgmt.tracking.steps.table import read

        with self._kernel.database.reading() as connection:
            return read(connection, self.id)
