"""The code of a run as one works with it: read it, compare it, write it to a folder."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from modelmgmt.errors import InvalidTypeError, NotFoundError, printable
from modelmgmt.store.names import among, counted
from modelmgmt.store.trees import Tree, Trees
from modelmgmt.versions import code
from modelmgmt.versions.code import CodeVersion

if TYPE_CHECKING:
    from modelmgmt.store.kernel import Kernel
    from modelmgmt.store.objects import Objects


class HasCode(Protocol):
    """A run."""

    @property
    def code(self) -> Code: ...


class Code:
    """What a run executed: the latest version of it, unless another is asked for with `at`.

    >>> from pathlib import Path
    >>> _ = Path("conf.toml").write_text("lr = 0.1")
    >>> with start_run("doc", code=["conf.toml"]) as run:
    ...     run.log(loss=0.5)
    >>> run.code.read("conf.toml")
    'lr = 0.1'
    """

    def __init__(self, kernel: Kernel | None, run: str, number: int | None = None) -> None:
        self._kernel = kernel
        self._run = run
        self._number = number

    @property
    def versions(self) -> list[CodeVersion]:
        """Every version, in order: the start, each checkpoint, the end where more had been imported by then."""
        if self._kernel is None:
            return []
        with self._kernel.database.reading() as connection:
            return code.read(connection, self._run)

    @property
    def version(self) -> CodeVersion:
        """The version that this is about. Raises NotFoundError when none was captured."""
        versions = self.versions
        if self._number is None and versions:
            return versions[-1]
        for version in versions:
            if version.number == self._number:
                return version
        what = "no code" if self._number is None else f"no version {self._number} of its code"
        raise NotFoundError(
            f"The run {self._run} has {what}: it has {counted(len(versions), 'version')}, and none is captured with "
            "code=False or MODELMGMT_CODE=off."
        )

    def at(self, number: int) -> Code:
        """The version with that number, the first is 0. Raises NotFoundError."""
        found = Code(self._kernel, self._run, number)
        _ = found.version
        return found

    @property
    def tree(self) -> Tree:
        """path -> digest, size, mode. Raises NotFoundError, CorruptDataError."""
        return Trees(self._objects).get(self.version.tree_digest)

    @property
    def files(self) -> list[str]:
        """The paths, below the root of the project."""
        return list(self.tree)

    def read_bytes(self, path: str) -> bytes:
        """One file, verified. Raises NotFoundError with the files there are, CorruptDataError."""
        tree = self.tree
        if path not in tree:
            raise NotFoundError(f"The code of the run {self._run} has no file {path!r}; it has: {among(path, tree)}")
        return self._objects.get(tree[path].digest)

    def read(self, path: str) -> str:
        """One file as text: UTF-8, other bytes as `\\udc80` to `\\udcff`."""
        return self.read_bytes(path).decode("utf-8", "surrogateescape")

    @property
    def uncommitted(self) -> str:
        """The uncommitted changes of tracked files, as git wrote them; empty when there were none."""
        digest = self.version.diff_digest
        return "" if digest is None else self._objects.get(digest).decode("utf-8", "surrogateescape")

    def checkout(self, path: str | Path) -> Path:
        """Write the files to `path`, a new folder or an empty one. Raises InvalidValueError, CorruptDataError."""
        target = Path(path).expanduser()
        digest = self.version.tree_digest
        Trees(self._objects).checkout(digest, target)
        return target

    def diff(self, other: Code | HasCode, *, context: int = 3) -> str:
        """How `other`, code or a run, differs from this, as a unified diff; empty when it does not.

        `context` is the number of unchanged lines around a change.
        """
        theirs = other if isinstance(other, Code) else getattr(other, "code", None)
        if not isinstance(theirs, Code):
            raise InvalidTypeError(f"diff takes a run or its code, and {type(other).__name__} was given.")
        return "".join(_differences(self, theirs, context))

    @property
    def _objects(self) -> Objects:
        if self._kernel is None:
            _ = self.version  # which says that there is none
            raise NotFoundError(f"The run {self._run} has no code.")
        return self._kernel.objects

    def __bool__(self) -> bool:
        """Whether any was captured."""
        return bool(self.versions)

    def __repr__(self) -> str:
        versions = self.versions
        return printable(f"<Code of run {self._run}: {counted(len(versions), 'version')}>")


def _differences(a: Code, b: Code, context: int) -> Iterator[str]:
    mine, theirs = a.tree, b.tree
    for path in sorted({*mine, *theirs}):
        if mine.get(path) == theirs.get(path):
            continue
        before = a.read(path) if path in mine else ""
        after = b.read(path) if path in theirs else ""
        names = (f"a/{path}" if path in mine else "/dev/null", f"b/{path}" if path in theirs else "/dev/null")
        if "\0" in before + after:
            yield f"Binary files {names[0]} and {names[1]} differ\n"
        elif before == after:
            yield f"mode of {path}: {mine[path].mode} and {theirs[path].mode}\n"
        else:
            yield from unified(before, after, names, context)


def unified(before: str, after: str, names: tuple[str, str], context: int = 3) -> Iterator[str]:
    """A unified diff of two texts, with the remark of git where the last line has no end."""
    a, b = (text.splitlines(keepends=True) for text in (before, after))
    for line in difflib.unified_diff(a, b, *names, n=context):
        yield line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n"
