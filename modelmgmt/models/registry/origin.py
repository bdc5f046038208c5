"""From which code a decision is made: the commit checked out in the working folder, and the library's version.

Git's own files are read: no subprocess for a name of 40 characters.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

_is_commit = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?").fullmatch
_LINKS = 5  # symbolic refs that point to symbolic refs


def origin() -> dict[str, str | None]:
    """What goes with each decision: {"commit": ..., "library": ...}; the commit is None outside a git repository."""
    # Not imported: the front door is above this room, and always loaded.
    return {"commit": head_commit(), "library": getattr(sys.modules["modelmgmt"], "__version__", None)}


def head_commit(folder: Path | None = None) -> str | None:
    """The commit that is checked out in a folder, or None. It says nothing about changes that are not committed."""
    try:
        start = Path.cwd() if folder is None else folder
        git = next((path for at in (start, *start.parents) if (path := at / ".git").exists()), None)
        return None if git is None else _resolve(_git_folder(git), "HEAD")
    except (OSError, ValueError):  # a working folder that is gone, a file that is not ours to read
        return None


def _git_folder(git: Path) -> Path:
    """The folder itself; in a work tree, `.git` is a file that names it."""
    if git.is_dir():
        return git
    return (git.parent / git.read_text("utf-8").removeprefix("gitdir:").strip()).resolve()


def _resolve(git: Path, name: str) -> str | None:
    common = git / "commondir"
    shared = (git / common.read_text("utf-8").strip()).resolve() if common.exists() else git
    for _ in range(_LINKS):
        text = next((at.read_text("utf-8").strip() for at in (git / name, shared / name) if at.is_file()), None)
        if text is None:
            return _packed(shared, name)
        if not text.startswith("ref:"):
            return text if _is_commit(text) else None
        name = text.removeprefix("ref:").strip()
    return None


def _packed(git: Path, name: str) -> str | None:
    packed = git / "packed-refs"
    for line in packed.read_text("utf-8").splitlines() if packed.is_file() else ():
        commit, _, ref = line.partition(" ")
        if ref == name and _is_commit(commit):
            return commit
    return None
