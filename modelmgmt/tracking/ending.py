"""How a run ended: finished, failed or interrupted, as its block, its script or a signal handler tells."""

from __future__ import annotations

import gc
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from functools import partial, wraps
from types import CodeType, FrameType, MethodType
from typing import Any, NoReturn, TextIO

FINISHED, FAILED, INTERRUPTED = STATUSES = ("finished", "failed", "interrupted")
"""The statuses that a run can be given at its end; a run whose process died has crashed instead."""
_STOPPED = (128 + signal.SIGINT, 128 + signal.SIGTERM)
"""The exit codes of a process that ended because it was asked to: 130 and 143."""


def of_error(error: BaseException | None) -> tuple[str, str | None]:
    """The status and the error text of a block or script that `error` ended.

    >>> of_error(SystemExit(2)), of_error(SystemExit("no data")), of_error(SystemExit(0)), of_error(SystemExit(143))
    (('failed', 'exit code 2'), ('failed', 'no data'), ('finished', None), ('interrupted', 'exit code 143'))
    """
    if error is None or isinstance(error, GeneratorExit):
        return FINISHED, None
    if isinstance(error, SystemExit):
        code = error.code
        if code is None or (isinstance(code, int) and code == 0):
            return FINISHED, None
        if isinstance(code, int):
            return INTERRUPTED if code in _STOPPED else FAILED, f"exit code {int(code)}"
        return FAILED, str(code) or f"exit code 1 ({code!r})"  # Python prints it, and exits with 1
    asyncio = sys.modules.get("asyncio")
    # Ctrl-C cancels the main task of asyncio.run: what a block in it meets is the cancellation.
    is_stopped = isinstance(error, (KeyboardInterrupt, *([asyncio.CancelledError] if asyncio else [])))
    return INTERRUPTED if is_stopped else FAILED, "".join(traceback.format_exception(error))


# -- signal handlers

_handlers: set[CodeType] = set()
"""What was seen to be a signal handler: it may have given its signal to another one since."""


_SIGNALS = tuple(number for number in signal.valid_signals() if number < 32)  # and no real-time ones
_getsignal = getattr(
    signal.getsignal, "__wrapped__", signal.getsignal
)  # without the search for an enum: 130 times faster


def look_for_handlers() -> None:
    """Remember the functions that are signal handlers now."""
    for number in _SIGNALS:
        handler = _getsignal(number)
        while isinstance(handler, (partial, MethodType)):
            handler = handler.func if isinstance(handler, partial) else handler.__func__
        if callable(handler) and not hasattr(handler, "__code__"):
            handler = type(handler).__call__
        code = getattr(handler, "__code__", None)
        if isinstance(code, CodeType):
            _handlers.add(code)


def is_in_handler() -> bool:
    """Whether a signal handler, or what `loop.add_signal_handler` was given, has called this."""
    if threading.get_ident() != threading.main_thread().ident:
        return False
    look_for_handlers()
    events = sys.modules.get("asyncio.events")
    call_of_loop = events.Handle._run.__code__ if events else None  # noqa: SLF001 - asyncio says it nowhere else
    frame: FrameType | None = sys._getframe()  # noqa: SLF001 - as in the standard logging
    while frame is not None:
        if frame.f_code in _handlers:
            return True
        if frame.f_code is call_of_loop:
            call = frame.f_locals["self"]
            if any(call is other for other in getattr(call._loop, "_signal_handlers", {}).values()):  # noqa: SLF001
                return True
        frame = frame.f_back
    return False


# -- the exit of the process


class _Obeyed:
    """Rides on a SystemExit: one that is let go outside of any Python frame is what the interpreter exits with."""

    def __init__(self, code: Any) -> None:
        self.code = code

    def __del__(self) -> None:
        if _is_after_script():
            watch.exit = SystemExit(self.code)


def _is_after_script() -> bool:
    """Whether the interpreter itself has called the caller, on the main thread: no frame of the script is left."""
    if threading.get_ident() != threading.main_thread().ident:
        return False
    try:
        sys._getframe(2)  # noqa: SLF001 - as above
    except ValueError:
        return True
    return False


class ExitWatch:
    """Notices with which code the process exits, while a run is open.

    Python runs exit functions when it has forgotten the SystemExit that it obeys. So `sys.exit` raises one that tells,
    when it is let go, whether somebody had caught it. One that a `raise` statement made is looked for when Python flushes
    `sys.stderr`, between the end of a script and its exit. With the last open run both are taken away, unless somebody has
    wrapped them meanwhile: then they do no more than what they stand for.
    """

    def __init__(self) -> None:
        self.exit: SystemExit | None = None
        """What the interpreter exits with."""
        self._is_on = False
        self._is_shell = False
        self._bottom: FrameType | None = None
        self._stream: TextIO | None = None
        self._exit: Any = None
        self._real_exit: Any = None
        self._flush: Any = None

    def begin(self) -> None:
        """A run is open."""
        if self._is_on:
            return
        self._is_on = True
        self._bottom = sys._current_frames().get(threading.main_thread().ident or 0)  # noqa: SLF001 - as above
        while self._bottom is not None and self._bottom.f_back is not None:
            self._bottom = self._bottom.f_back
        main = sys.modules.get("__main__")
        self._is_shell = bool(sys.flags.inspect) or (hasattr(sys, "ps1") and not hasattr(main, "__file__"))
        self._real_exit = sys.exit
        self._exit = sys.exit = self._telling(sys.exit)
        if hasattr(sys.stderr, "__dict__"):
            self._stream = sys.stderr
            self._flush = self._looking(sys.stderr.flush)
            self._stream.__dict__["flush"] = self._flush

    def end(self) -> None:
        """No run is open."""
        self._is_on = False
        self._bottom = None
        if sys.exit is self._exit:
            sys.exit = self._real_exit
        if self._stream is not None and self._stream.__dict__.get("flush") is self._flush:
            del self._stream.__dict__["flush"]
        self._stream = None

    def error(self) -> BaseException | None:
        """What ends the script; None when it just ended. What a shell has shown before it went on has ended nothing."""
        if self.exit is not None:
            return self.exit
        error = getattr(sys, "last_exc", None) or getattr(sys, "last_value", None)
        if isinstance(error, BaseException) and error.__traceback__ is not None and not self._is_shell:
            return error if error.__traceback__.tb_frame is self._bottom else None
        return None

    def _telling(self, leave: Callable[..., NoReturn]) -> Callable[..., NoReturn]:
        @wraps(leave)
        def exit_(*status: Any) -> NoReturn:
            try:
                leave(*status)
            except SystemExit as error:
                if self._is_on:
                    error.__dict__["_modelmgmt"] = _Obeyed(error.code)
                raise

        return exit_

    def _looking(self, flush: Callable[[], None]) -> Callable[[], None]:
        @wraps(flush)
        def flush_() -> None:
            if self._is_on and _is_after_script() and not self._has_returned():
                self._find_exit()
            flush()

        return flush_

    def _has_returned(self) -> bool:
        if self._bottom is None or self._is_shell:
            return True
        from opcode import opname

        return opname[self._bottom.f_code.co_code[self._bottom.f_lasti]].startswith("RETURN")

    def _find_exit(self) -> None:
        """An exception has ended the script. Only the interpreter has it, and the frames that it has gone through."""
        gc.collect()  # those that were caught, and are held by their own frames
        found = [each for each in gc.get_objects() if isinstance(each, SystemExit)]
        for error in found:
            if all(holder is found or isinstance(holder, FrameType) for holder in gc.get_referrers(error)):
                self.exit = SystemExit(error.code)


watch = ExitWatch()
