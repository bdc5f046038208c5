"""The weights of a model as its format reads them: verified bytes in memory, or verified copies in a private folder.

What was verified is what is read: nobody can change it in between. Writes in temporary folders only.
"""

from __future__ import annotations

import io
import mmap
import tempfile
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, BinaryIO, Protocol, Self

from modelmgmt.errors import CorruptDataError
from modelmgmt.models.trust.decision import distrust, is_trusted

if TYPE_CHECKING:
    from modelmgmt.models.trust.decision import Trust
    from modelmgmt.packaged import Code
    from modelmgmt.store.kernel import Kernel
    from modelmgmt.store.trees import Tree

IN_MEMORY = 256 << 20  # bytes; what is larger goes through a private file, so that it is not in memory twice


CODE = "code"
"""The folder of a package that has the project's modules."""


class AnyPackage(Protocol):
    """What is needed of a package to read its files."""

    @property
    def digest(self) -> str: ...
    @property
    def tree(self) -> Tree: ...
    @property
    def name(self) -> str: ...
    @property
    def code(self) -> tuple[str, ...]: ...


class PackageFiles(AbstractContextManager["PackageFiles"]):
    """The files of a package below `part`."""

    def __init__(
        self, kernel: Kernel, package: AnyPackage, part: str, *, trust: Trust = None, code: Code | None = None
    ) -> None:
        self.code = code
        self._kernel = kernel
        self._trust = trust
        self._digest = package.digest
        self._entries = {
            path.removeprefix(f"{part}/"): entry
            for path, entry in package.tree.items()
            if path.startswith(f"{part}/") and entry.mode != "link"
        }
        self._name = package.name
        self._open = ExitStack()
        self._folder: Path | None = None

    def names(self) -> list[str]:
        return list(self._entries)

    def read(self, name: str) -> bytes:
        return self._kernel.objects.get(self._entries[self._known(name)].digest)

    def open(self, name: str) -> BinaryIO:
        if self._entries[self._known(name)].size <= IN_MEMORY:
            return io.BytesIO(self.read(name))
        return self._open.enter_context((self.folder() / name).open("rb"))

    def view(self, name: str) -> memoryview:
        entry = self._entries[self._known(name)]
        if entry.size > IN_MEMORY:
            with (self.folder() / name).open("rb") as file:
                return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
        import numpy as np

        memory = np.empty(self._kernel.objects.size(entry.digest), np.uint8).data  # not filled with zeros first
        self._kernel.objects.read_into(entry.digest, memory)
        return memory

    def are_trusted(self) -> bool:
        return is_trusted(self._kernel, self._digest)

    def distrust(self) -> str | None:
        return distrust(self._kernel, self._digest, self._trust)

    def folder(self) -> Path:
        if self._folder is None:
            place = tempfile.TemporaryDirectory(prefix="modelmgmt-", ignore_cleanup_errors=True)
            self._folder = Path(self._open.enter_context(place))
            self.copy_to(self._folder)
        return self._folder

    def copy_to(self, folder: Path) -> None:
        """Copy them, verified, into an empty folder."""
        for name, entry in self._entries.items():
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            self._kernel.objects.copy_to(entry.digest, target, replace=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.close()

    def _known(self, name: str) -> str:
        if name not in self._entries:
            raise CorruptDataError(f"The model {self._name} has no file {name!r}; it has {', '.join(self._entries)}.")
        return name


class FolderFiles:
    """The files of a folder, of which nobody knows who wrote them. `is_trusted` when its user has decided for them."""

    def __init__(self, folder: Path, *, is_trusted: bool = False, code: Code | None = None) -> None:
        self.code = code
        self._folder = folder
        self._is_trusted = is_trusted

    def names(self) -> list[str]:
        paths = (path for path in self._folder.rglob("*") if path.is_file())
        return sorted(path.relative_to(self._folder).as_posix() for path in paths)

    def read(self, name: str) -> bytes:
        return (self._folder / name).read_bytes()

    def open(self, name: str) -> BinaryIO:
        return (self._folder / name).open("rb")

    def view(self, name: str) -> memoryview:
        return memoryview(self.read(name))

    def folder(self) -> Path:
        return self._folder

    def are_trusted(self) -> bool:
        return False

    def distrust(self) -> str | None:
        return None if self._is_trusted else "nothing says who wrote the folder."
