"""Where the code of loaded models lies on this machine, so that a worker process finds it by its digest alone.

    ~/.cache/modelmgmt/code/_<digest>/               the modules, as they are imported
    ~/.cache/modelmgmt/code/_<digest>/.manifest.json path -> SHA-256; the digest is that of this file

`$MODELMGMT_CACHE` names another folder than `~/.cache/modelmgmt`, else `$XDG_CACHE_HOME/modelmgmt`. Where it cannot be
written, a folder of this user in the system's folder for temporary files takes its place. Alone writes these folders.

Code comes here only after the user has decided to trust it. Nobody else can put code here: a folder that belongs to
another user, or that others may write to, is not believed, and each file is held to the manifest, and the manifest to
the digest, before it is run.
"""

from __future__ import annotations

import json
import os
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from hashlib import file_digest, sha256
from pathlib import Path

from modelmgmt.errors import CorruptDataError, StoreWriteError

MANIFEST = ".manifest.json"
_DIGITS = 32  # of a SHA-256 in hex, 128 bits: nobody makes two codes that share them


def name_of(manifest: Mapping[str, str]) -> str:
    """The name of a code, `_<digest>`, by what is in it: the same code has the same name, in whatever package it is."""
    return f"_{sha256(_encoded(manifest)).hexdigest()[:_DIGITS]}"


def put(manifest: Mapping[str, str], copy: Callable[[Path], None]) -> Path:
    """The folder of the code, made by `copy` if it is not there whole. Raises StoreWriteError."""
    name = name_of(manifest)
    found = find(name)
    if found is not None and is_whole(found, manifest):
        return found
    refused = []
    for root in _roots():
        try:
            root.mkdir(mode=0o700, parents=True, exist_ok=True)
            if not _is_private(root):
                refused.append(f"{root} belongs to another user, or others may write to it")
                continue
            return _made(root / name, manifest, copy)
        except OSError as error:
            refused.append(f"{root} cannot be written ({error.strerror})")
    raise StoreWriteError(
        f"There is no place for the code of the model: {'; '.join(refused)}. Set MODELMGMT_CACHE to a folder of your own."
    )


def _made(folder: Path, manifest: Mapping[str, str], copy: Callable[[Path], None]) -> Path:
    # Beside its place, and renamed when it is whole: nobody sees half of it, and the first of several processes makes it.
    stage = Path(tempfile.mkdtemp(prefix=f"{folder.name}-", dir=folder.parent))
    try:
        copy(stage)
        (stage / MANIFEST).write_bytes(_encoded(manifest))
        for _ in range(2):
            with suppress(OSError):
                stage.rename(folder)
            if (folder / MANIFEST).is_file() and is_whole(folder, manifest):
                break
            with suppress(FileNotFoundError):  # damaged: it goes with the stage
                folder.rename(Path(tempfile.mkdtemp(dir=stage)) / folder.name)
        else:
            raise OSError(None, f"{folder} cannot be replaced")
    finally:
        shutil.rmtree(stage, ignore_errors=True)
    return folder


def find(name: str) -> Path | None:
    """The folder of the code of that name, if it is on this machine and nobody else may write to it."""
    for root in _roots():
        if (root / name / MANIFEST).is_file() and _is_private(root) and _is_private(root / name):
            return root / name
    return None


def read_manifest(folder: Path) -> dict[str, str]:
    """path -> SHA-256. Raises CorruptDataError when it is not the manifest that the folder is named by."""
    data = (folder / MANIFEST).read_bytes()
    if f"_{sha256(data).hexdigest()[:_DIGITS]}" != folder.name:
        raise CorruptDataError(
            f"The code in {folder} is not what it was: delete that folder, and load the model again."
        )
    found: dict[str, str] = json.loads(data)
    return found


def is_whole(folder: Path, manifest: Mapping[str, str]) -> bool:
    """Whether each file is there as the manifest has it."""
    try:
        for path, digest in manifest.items():
            with (folder / path).open("rb") as file:
                if file_digest(file, "sha256").hexdigest() != digest:
                    return False
    except OSError:
        return False
    return True


def _roots() -> Iterator[Path]:
    named, shared = os.environ.get("MODELMGMT_CACHE"), os.environ.get("XDG_CACHE_HOME", "")
    if named:
        yield Path(named).expanduser().absolute() / "code"
    elif Path(shared).is_absolute():
        yield Path(shared) / "modelmgmt" / "code"
    else:
        with suppress(RuntimeError):  # there is no home
            yield Path.home() / ".cache" / "modelmgmt" / "code"
    user = os.getuid() if hasattr(os, "getuid") else os.environ.get("USERNAME", "")
    yield Path(tempfile.gettempdir()) / f"modelmgmt-code-{user}"


def _is_private(folder: Path) -> bool:
    """Whether a folder is this user's, and others cannot write to it. Windows keeps a user's folders to the user."""
    if not hasattr(os, "getuid"):
        return True
    try:
        found = folder.lstat()
    except OSError:
        return False
    return (
        stat.S_ISDIR(found.st_mode)
        and found.st_uid == os.getuid()
        and not found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    )


def _encoded(manifest: Mapping[str, str]) -> bytes:
    return json.dumps(dict(sorted(manifest.items())), ensure_ascii=True, separators=(",", ":")).encode()
