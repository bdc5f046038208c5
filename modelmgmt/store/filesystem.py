"""What the file system under a store can do, and whether the store is used as a shared one.

Alone writes the file `store.shared` in a store. On a network mount a map is not coherent between machines, SQLite's
write-ahead log needs shared memory, and file locks may bind one machine only. All who use a store must then agree to do
without: so the store itself says that it is shared, until `MODELMGMT_FILESYSTEM=local` says otherwise.
"""

from __future__ import annotations

import errno
import mmap
import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from modelmgmt.errors import InvalidValueError
from modelmgmt.store.disk import is_there, our_disk, token
from modelmgmt.store.journal import UNFINISHED

VARIABLE = "MODELMGMT_FILESYSTEM"
SHARED = "store.shared"
"""The file that is in a store which several machines use."""

_CANNOT = frozenset({errno.ENODEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOLCK})
"""What a file system says that has no such thing as a map or a lock."""
_NETWORK = frozenset({
    "9p", "acfs", "afpfs", "afs", "beegfs", "ceph", "cifs", "coda", "davfs", "drvfs", "glusterfs", "gpfs", "lustre", "ncpfs",
    "nfs", "nfs4", "ocfs2", "orangefs", "panfs", "prl_fs", "pvfs2", "smb3", "smbfs", "v9fs", "vboxsf", "vmhgfs", "webdav",
})  # fmt: skip
_LOCAL_FUSE = frozenset({"fuse.fuse-overlayfs", "fuse.mergerfs", "fuse.ntfs-3g", "fuse.bindfs", "fuse.encfs"})
_TEXT = (
    "This store is or was on a network mount: processes that use it write plain files, one process at a time.\n"
    f"To end that, open it once with {VARIABLE}=local, on a local disk, while no other process uses it.\n"
)


def is_shared(folder: Path) -> bool:
    """Whether a store in this folder, which may not be there yet, is to be used as a shared one."""
    asked = setting()
    if asked is not None:
        return asked == "shared"
    return is_there(folder / SHARED) or is_network(kind_of(folder)) or not _can_map_and_lock(folder)


def setting() -> str | None:
    """`$MODELMGMT_FILESYSTEM`: shared, local or None. Raises InvalidValueError for another word."""
    asked = os.environ.get(VARIABLE, "").strip().lower()
    if asked not in ("", "shared", "local"):
        raise InvalidValueError(
            f"{VARIABLE} is 'shared' or 'local', and {asked!r} was found: set one of the two, or unset it."
        )
    return asked or None


def mark(folder: Path) -> None:
    """From now on everybody uses the store as a shared one. Survives a power cut with the next sync of the folder."""
    if is_there(folder / SHARED):
        return
    with our_disk("write", folder / SHARED):
        (folder / SHARED).write_text(_TEXT, "utf-8")


def is_network(kind: str) -> bool:
    """Whether a file system of this type, as the system names it, may be in use by several machines."""
    return kind in _NETWORK or (kind.startswith("fuse.") and kind not in _LOCAL_FUSE)


def kind_of(folder: Path) -> str:
    """The type of the file system that a folder is, or will be, on: `ext4`, `nfs4`. Empty where that is not known."""
    where = os.path.realpath(folder)
    best, kind = "", ""
    for place, name in _mounts():
        if len(place) >= len(best) and (where == place or where.startswith(place.rstrip("/") + "/")):
            best, kind = place, name  # of two mounts on one place, the later one is on top
    return kind


if sys.platform == "linux":

    def _mounts() -> Iterator[tuple[str, str]]:
        """(where, type), from proc(5): optional fields end with a dash; a space in a path is an octal escape."""
        with suppress(OSError):
            for line in Path("/proc/self/mountinfo").read_bytes().decode("utf-8", "surrogateescape").splitlines():
                before, _, after = line.partition(" - ")
                yield _unescaped(before.split(" ")[4]), after.split(" ")[0]

else:  # pragma: no cover - other systems

    def _mounts() -> Iterator[tuple[str, str]]:
        import psutil

        for mount in psutil.disk_partitions(all=True):
            yield mount.mountpoint, mount.fstype.lower()


def _unescaped(text: str) -> str:
    for escape, character in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        text = text.replace(escape, character)
    return text


def _can_map_and_lock(folder: Path) -> bool:
    """Try it, in a store that is there; False only when the file system says that it has no such thing."""
    path = folder / "journal" / f"{token()}{UNFINISHED}"
    try:
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except OSError:
        return True  # not there yet, or not to be written: whoever uses it will say so
    try:
        os.ftruncate(file, mmap.PAGESIZE)  # without blocks: there may be no room, and that is another question
        mmap.mmap(file, mmap.PAGESIZE).close()
        _lock(file)
    except OSError as error:
        return error.errno not in _CANNOT
    finally:
        os.close(file)
        with suppress(OSError):  # else whoever recovers journals removes it
            path.unlink()
    return True


def _lock(file: int) -> None:
    try:
        import fcntl
    except ImportError:  # pragma: no cover - Windows
        return
    fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
