"""Which code a model is loaded with: the package's own, under names of its own, or the same code of this process."""

from __future__ import annotations

import functools
import sys
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from modelmgmt import packaged
from modelmgmt.errors import warn
from modelmgmt.models.packaging.files import CODE, AnyPackage, PackageFiles
from modelmgmt.models.packaging.project import ProjectCode, source_of
from modelmgmt.models.trust.decision import decide, distrust
from modelmgmt.versions.project import process_start

if TYPE_CHECKING:
    from modelmgmt.models.trust.decision import Trust
    from modelmgmt.store.kernel import Kernel

_CLOCK_S = 2.0  # how much the clock of a file system may be off
_process_start = functools.cache(process_start)  # a forked child has the modules of its parent


def code_of_package(kernel: Kernel, package: AnyPackage, trust: Trust) -> packaged.Code | None:
    """The package's own code; None where that of this process is the same, or there is none.

    To import code runs it, so trust is asked for first, whatever the format. Without trust, a model that may be made all
    the same (`trust=[names]` means classes of this machine) is made of the modules that are here, if all of them are.
    Raises UntrustedModelError.
    """
    manifest = {path: package.tree[f"{CODE}/{path}"].digest for path in package.code}
    differing = _differing(manifest)
    if not differing:
        return None
    if distrust(kernel, package.digest, trust) is not None:
        if not all(differing.values()):
            decide(kernel, package, trust)
        digests = set(manifest.values())
        for name, origin in differing.items():
            if origin is not None and sha256(origin.read_bytes()).hexdigest() not in digests:
                warn(
                    f"The module {name} differs from when the model {package.name} was logged. The code in the package is "
                    f"not trusted: the installed module, {origin}, is used."
                )
        return None
    return packaged.put(manifest, PackageFiles(kernel, package, CODE).copy_to)


def code_of_project(own: ProjectCode, *, with_secrets: bool) -> packaged.Code | None:
    """What another process will load a model with that this one writes; None where the modules here are that."""
    contents = {path: own.content(path, with_secrets=with_secrets) for path in sorted(own.files)}
    manifest = {path: sha256(data).hexdigest() for path, data in contents.items()}

    def copy(folder: Path) -> None:
        for path, data in contents.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(data)

    return packaged.put(manifest, copy) if _differing(manifest) else None


def _differing(manifest: Mapping[str, str]) -> dict[str, Path | None]:
    """The files, path -> SHA-256, that are not in this process as they are there: module or path -> the file that is here."""
    found: dict[str, Path | None] = {}
    for path, digest in manifest.items():
        parent, _, file = path.rpartition("/")
        if path.endswith(".py"):
            name = path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
            origin = source_of(name)
        else:  # data beside a module
            name, beside = path, source_of(parent.replace("/", "."))
            origin = None if beside is None else beside.with_name(file)
        if origin is None or not _is_same(name, origin, digest):
            found[name] = origin
    return found


def _is_same(name: str, origin: Path, digest: str) -> bool:
    """Whether a module of this process is what the digest says: also in memory, where it may be older than its file."""
    try:
        found = origin.stat()
        changed = max(found.st_mtime, found.st_ctime)
        if name in sys.modules and changed > _process_start() - _CLOCK_S:
            return False
        return sha256(origin.read_bytes()).hexdigest() == digest
    except OSError:
        return False
