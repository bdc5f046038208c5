"""What a run knows of the code and the environment that made it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from modelmgmt.errors import InvalidTypeError
from modelmgmt.versions import capture, code
from modelmgmt.versions.kept_code import Code

if TYPE_CHECKING:
    from modelmgmt.store.kernel import Kernel
    from modelmgmt.tracking.guard import Guard
    from modelmgmt.versions.capture import Job
    from modelmgmt.versions.environment import Environment


class CodeOfRun:
    """A part of `Run`."""

    if TYPE_CHECKING:
        _kernel: Kernel
        id: str
        _owned: bool

        def _writable(self) -> Guard: ...

    _tree: str | None = None
    """Of the version that was captured last; None while this process captures no code of the run."""
    _chosen = capture.Chosen()
    _was_first = False
    """Whether the states of the random generators were noted at its start, as at that of the first run of a process."""

    def snapshot_code(self, reason: str = "") -> None:
        """Keep what is executed now as one more version of the run's code. Survives a power cut with the next `flush`.

        A run does so by itself at its start, and at its end when more was imported since: call this after files were
        changed and loaded again, or to say why it goes on. Raises InvalidTypeError, RunFinishedError.
        """
        if not isinstance(reason, str):
            raise InvalidTypeError(f"The reason is text, and {type(reason).__name__} was given: pass a str.")
        guard = self._writable()

        def keep() -> None:
            captures = capture.of(self._kernel)
            captures.settle()
            self._tree = captures.checkpoint(self.id, reason, chosen=self._chosen)

        guard.write(keep, can_wait=False)

    @property
    def code(self) -> Code:
        """The code that was executed: `files`, `read`, `diff`, `checkout`, `versions`."""
        return Code(self._kernel, self.id)

    @property
    def environment(self) -> Environment | None:
        """Python, platform, hardware and every distribution; None when it was not captured. Raises CorruptDataError."""
        from modelmgmt.versions.environment import read

        return read(self._kernel, self.id)

    def _captured(self, job: Job | None, tree: str | None, chosen: capture.Chosen) -> None:
        """The run has started, with this tree; what is left to keep is kept in the background. `start_run` calls this."""
        self._tree, self._chosen = tree, chosen
        self._was_first = job is not None and job.prepared.seeds is not None
        capture.of(self._kernel).submit(job)

    def _resumed_code(self) -> None:
        """The run goes on in this process: what is executed now is one more version, when it is not the last one."""

        def keep() -> None:
            captures = capture.of(self._kernel)
            captures.settle()
            versions = self.code.versions
            last = versions[-1].tree_digest if versions else None
            self._tree = captures.checkpoint(self.id, code.RESUME, unless=last)

        self._writable().write(keep, can_wait=False)

    def _settle_code(self) -> None:
        """Wait for what is captured in the background. Raises StoreError."""
        capture.of(self._kernel).settle()

    def _finish_code(self) -> None:
        """The run ends: what was imported since its start is kept, too. Raises StoreError."""
        self._settle_code()
        if self._owned and self._tree is not None:
            capture.of(self._kernel).checkpoint(self.id, code.FINISH, unless=self._tree, chosen=self._chosen)
