"""Every error of the library, under one root; each is also the builtin that a caller would guess.

    ModelmgmtError
    |-- InvalidNameError      ValueError         a name that cannot be kept safely
    |-- InvalidTypeError      TypeError          a value of a type that cannot be kept
    |-- InvalidValueError     ValueError         the right type, an impossible value
    |-- BundleError           ValueError         an archive that is not a model bundle, or a hostile one
    |-- SignatureError        ValueError         data that are not what the model takes
    |-- ParamConflictError    ValueError         a param logged again with another value
    |-- RunFinishedError      RuntimeError       a write to a run that has ended
    |-- RunInUseError         RuntimeError       the run is still written, or others hang on it
    |-- StoreClosedError      ValueError         a write through a store that was closed
    |-- PinnedError           PermissionError    somebody said that this must be kept
    |-- UntrustedModelError   PermissionError    bytes that may run code, from nobody whom the caller trusts
    |   `-- RefusedPickleError                   the restricted reader found what it does not make
    |-- ConflictError         RuntimeError       somebody else has decided meanwhile
    |-- GateError             PermissionError    a promotion that does not meet the model's policy
    |-- MissingCodeError      ImportError        a class or module that a model needs is not here
    |-- MissingExtraError     ImportError        an optional package is not installed; says which
    |-- QuerySyntaxError      ValueError         a filter that cannot be read; knows the column
    |-- ReproductionError     RuntimeError       a run that could not be done again
    |-- NotFoundError         KeyError           no such run, series, artifact or object
    |-- OutOfRangeError       IndexError         a collection of runs has no run at that place
    |-- AmbiguousError        NotFoundError      several things answer to the reference
    `-- StoreError            OSError
        |-- StorePathError                       the path is not, and cannot become, a store
        |-- StoreTooNewError                     written by a newer version of the library
        |-- StoreTooOldError                     written before the first format that later versions read
        |-- StoreReadError                       the disk did not give back what it may well have
        |-- StoreWriteError                      the disk said no
        |   `-- StoreBusyError                   another process keeps the store to itself, for too long
        |-- KeyFileError                         the user's signing key can't be read, made or believed
        |-- SourceChangedError                   a file changed while it was being copied
        `-- CorruptDataError                     bytes that are not what was written

A message says what was asked, what was found and what to do next.
"""

from __future__ import annotations

import re
import sys
import warnings
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Any

_NOT_SHOWN = {"modelmgmt", "IPython", "ipykernel"}
"""Packages whose frames say nothing about the caller's mistake."""
_LONG = re.compile(r"(\S{200})\S{400,}(\S{20})").sub
"""A word that no sentence needs whole: somebody gave a text in the place of a name."""
_FRAMES = 5  # of the caller's code, the innermost, that IPython shows of an error


def _cell(filename: str) -> str:
    """What IPython calls the cell that this is the file of; empty for a file of its own."""
    ipython: Any = sys.modules.get("IPython")
    shell: Any = ipython.get_ipython() if ipython is not None else None
    found = shell.compile.format_code_name(filename) if hasattr(shell, "compile") else None
    return " ".join(found) if found else ""


def printable(text: str) -> str:
    r"""Text in which control, escape and bidirectional characters are spelled out, but for the ends of lines and tabs.

    It goes through everything that is printed: names and notes may be those of a stranger.

    >>> printable("two\nlines and \x1b[31mred")
    'two\nlines and \\x1b[31mred'
    """
    if text.isprintable():
        return text
    # The joiner holds composed emoji together.
    return "".join(char if char.isprintable() or char in "\n\t\u200d" else ascii(char)[1:-1] for char in text)


_HERE = __file__.removesuffix("errors.py")


class ModelmgmtError(Exception):
    """The root: catching it catches every error this library raises on purpose."""

    def __str__(self) -> str:
        # KeyError would show the repr of the message and OSError wants an errno: a sentence is shown as it is.
        return _LONG(r"\1…\2", printable(str(self.args[0]))) if self.args else type(self).__name__

    def _render_traceback_(self) -> list[str]:
        """What IPython prints of it: the lines of the caller's code that led here, and the sentence.

        Not this library's own frames, which are pages that say nothing of a typo. `%debug` and `traceback.print_exception`
        still have them.
        """
        import linecache
        from traceback import walk_tb

        lines = []
        for frame, number in walk_tb(self.__traceback__):
            if str(frame.f_globals.get("__name__")).partition(".")[0] in _NOT_SHOWN:
                continue
            name = frame.f_code.co_filename
            function = frame.f_code.co_name
            inside = "" if function == "<module>" else f", in {function}"
            lines.append(f"{_cell(name) or f'File {name}'}, line {number}{inside}")
            lines.append(f"----> {number} {linecache.getline(name, number, frame.f_globals).strip()}")
        notes: list[str] = getattr(self, "__notes__", [])
        return [*lines[-2 * _FRAMES :], f"{type(self).__name__}: {self}", *notes]


class InvalidNameError(ModelmgmtError, ValueError):
    """A name that is empty, too long, or could escape its folder or break a line."""


class InvalidTypeError(ModelmgmtError, TypeError):
    """A value of a type that cannot be kept."""


class InvalidValueError(ModelmgmtError, ValueError):
    """A value of the right type that makes no sense where it was given."""


class BundleError(ModelmgmtError, ValueError):
    """An archive that is not a model bundle, is damaged, or tries something."""


class SignatureError(ModelmgmtError, ValueError):
    """Data that are not what the signature of the model says, or an example that is not."""


class ParamConflictError(ModelmgmtError, ValueError):
    """A param was logged before with another value."""


class RunFinishedError(ModelmgmtError, RuntimeError):
    """The run has ended; nothing more can be logged to it unless it is resumed."""


class RunInUseError(ModelmgmtError, RuntimeError):
    """The run is still being written, or other runs belong to it."""


class StoreClosedError(ModelmgmtError, ValueError):
    """The store is closed; objects created from it can no longer write. Open it again with `Store(path)`."""


class PinnedError(ModelmgmtError, PermissionError):
    """The run is pinned, or the model's version is in use: somebody said that it must be kept."""


class ConflictError(ModelmgmtError, RuntimeError):
    """Somebody else has decided meanwhile, on what this decision was based on."""


class GateError(ModelmgmtError, PermissionError):
    """A version does not meet what its model's policy asks for. `unmet` has a sentence for each condition."""

    def __init__(self, message: str, *, unmet: tuple[str, ...]) -> None:
        super().__init__("\n  - ".join([message, *unmet]))
        self.unmet = unmet


class MissingCodeError(ModelmgmtError, ImportError):
    """A module, or a class in it, that a model was made with cannot be imported."""


class MissingExtraError(ModelmgmtError, ImportError):
    """A package that is optional is not installed."""


class UntrustedModelError(ModelmgmtError, PermissionError):
    """Reading these bytes may run code, and nothing that the caller said or trusts allows it."""


class RefusedPickleError(UntrustedModelError):
    """The restricted reader met something that it does not make. Nothing of the pickle was run."""


class QuerySyntaxError(ModelmgmtError, ValueError):
    """A filter that cannot be read. `column` counts from 1."""

    def __init__(self, message: str, *, text: str, column: int) -> None:
        line = text.replace("\n", " ").replace("\t", " ")
        super().__init__(f"{message} at column {column}\n  {line}\n  {' ' * (column - 1)}^")
        self.text = text
        self.column = column


class ReproductionError(ModelmgmtError, RuntimeError):
    """A run could not be done again: its command failed, or started no run in its place."""


class NotFoundError(ModelmgmtError, KeyError):
    """What was asked for is not in the store."""


class OutOfRangeError(NotFoundError, IndexError):
    """A collection of runs has no run at that place."""


class AmbiguousError(NotFoundError):
    """More than one thing answers to the reference that was given."""


class StoreError(ModelmgmtError, OSError):
    """Something about the folder or the disk under it."""


class StorePathError(StoreError):
    """The path is not a store, and cannot become one."""


class StoreTooNewError(StoreError):
    """The store was written by a newer version of the library."""


class StoreTooOldError(StoreError):
    """The store was written by a version of the library from before the first format that later versions read."""


class StoreReadError(StoreError):
    """The disk refused a read, of the store or of what was to be put into it. Whether anything is damaged is not known."""


class StoreWriteError(StoreError):
    """The disk refused a write."""


class StoreBusyError(StoreWriteError):
    """Another process has kept the store to itself for longer than anybody waits."""


class KeyFileError(StoreError):
    """The user's signing key or list of trusted keys can't be read, can't be made, or may be another's doing."""


class SourceChangedError(StoreError):
    """A file changed while it was being copied into the store."""


class CorruptDataError(StoreError):
    """Bytes in the store are not the bytes that were written."""


def warn(message: str) -> None:
    """Warn at the line of the caller's own code that led here, however deep in the library that is."""
    level, frame = 1, sys._getframe()  # noqa: SLF001 - how the standard library finds its callers, too
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_HERE):
        level, frame = level + 1, frame.f_back
    warnings.warn(printable(message), stacklevel=level)


__all__ = [name for name, value in globals().items() if isinstance(value, type) and issubclass(value, ModelmgmtError)]


def __dir__() -> list[str]:
    return __all__
