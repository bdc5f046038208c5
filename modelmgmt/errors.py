"""Every error of the library, under one root; each is also the builtin that a caller would guess.

    ModelmgmtError
    |-- InvalidNameError      ValueError         a name that cannot be kept safely
    |-- InvalidTypeError      TypeError          a value of a type that cannot be kept
    |-- InvalidValueError     ValueError         the right type, an impossible value
    |-- BundleError           ValueError         an archive that is no bundle of a model, or a hostile one
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
    |-- AmbiguousError        NotFoundError      several things answer to the reference
    `-- StoreError            OSError
        |-- StorePathError                       the path is not, and cannot become, a store
        |-- StoreTooNewError                     written by a newer version of the library
        |-- StoreReadError                       the disk did not give back what it may well have
        |-- StoreWriteError                      the disk said no
        |   `-- StoreBusyError                   another process keeps the store to itself, for too long
        |-- KeyFileError                         the user's signing key can't be read, made or believed
        |-- SourceChangedError                   a file changed while it was being copied
        `-- CorruptDataError                     bytes that are not what was written

A message says what was asked, what was found and what to do next.
"""

from __future__ import annotations


class ModelmgmtError(Exception):
    """The root: catching it catches every error this library raises on purpose."""

    def __str__(self) -> str:
        # KeyError would show the repr of the message and OSError wants an errno: a sentence is shown as it is.
        return str(self.args[0]) if self.args else type(self).__name__


class InvalidNameError(ModelmgmtError, ValueError):
    """A name that is empty, too long, or could escape its folder or break a line."""


class InvalidTypeError(ModelmgmtError, TypeError):
    """A value of a type that cannot be kept."""


class InvalidValueError(ModelmgmtError, ValueError):
    """A value of the right type that makes no sense where it was given."""


class BundleError(ModelmgmtError, ValueError):
    """An archive that is no bundle of a model, is damaged, or tries something."""


class SignatureError(ModelmgmtError, ValueError):
    """Data that are not what the signature of the model says, or an example that is not."""


class ParamConflictError(ModelmgmtError, ValueError):
    """A param was logged before with another value."""


class RunFinishedError(ModelmgmtError, RuntimeError):
    """The run has ended; nothing more can be logged to it unless it is resumed."""


class RunInUseError(ModelmgmtError, RuntimeError):
    """The run is still being written, or other runs belong to it."""


class StoreClosedError(ModelmgmtError, ValueError):
    """The store was closed, as a file is: what was made of it writes no more. A new `Store` does."""


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
    """A module, or a class in it, that a model was made with can not be imported."""


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


class AmbiguousError(NotFoundError):
    """More than one thing answers to the reference that was given."""


class StoreError(ModelmgmtError, OSError):
    """Something about the folder or the disk under it."""


class StorePathError(StoreError):
    """The path is not a store, and cannot become one."""


class StoreTooNewError(StoreError):
    """The store was written by a newer version of the library."""


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
