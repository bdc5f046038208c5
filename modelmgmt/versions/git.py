"""What git says about the project: commit, branch, remotes, uncommitted changes. Asks `git`, never changes anything."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from modelmgmt.versions.left_out import Note, why_not

TIMEOUT_S = 20.0  # of one question
MAX_STATUS_BYTES = 8 << 20
MAX_DIFF_BYTES = 5 << 20
MAX_ARGUMENT_BYTES = 100_000  # of the paths that a diff is asked for

_FIELDS_BEFORE_PATH = {b"1": 8, b"2": 9, b"u": 10}
_is_web = re.compile(r"(?:https?|ftps?)\Z", re.IGNORECASE).match


@dataclass(frozen=True, slots=True)
class GitState:
    """What git said at one moment; `left_out` says what it could not."""

    commit: str | None = None
    branch: str | None = None
    remotes: dict[str, str] = field(default_factory=dict)
    is_dirty: bool | None = None
    diff: bytes | None = None
    left_out: tuple[Note, ...] = ()


class RefusedError(Exception):
    """git could not answer."""


def find_repository(folder: Path) -> Path | None:
    """The nearest folder, from `folder` upwards, that has a `.git`; no git is needed to see that."""
    for place in (folder, *folder.parents):
        if os.path.lexists(place / ".git"):
            return place
    return None


def look(repository: Path) -> GitState:
    """Ask git. What fails is a note in `left_out`; nothing is raised. Takes some tens of milliseconds.

    Changes of tracked files are in the diff, but not those of secrets, data and large files. Untracked files are not
    looked at: there may be millions.
    """
    try:
        status = _ask(
            repository, MAX_STATUS_BYTES, "status", "--porcelain=v2", "--branch", "-z", "--untracked-files=no",
            "--ignore-submodules=untracked",
        )  # fmt: skip
    except RefusedError as error:
        return GitState(left_out=(("git", str(error)),))
    headers, changed = _parsed(status)
    commit, branch = headers.get("branch.oid"), headers.get("branch.head")
    commit = None if commit == "(initial)" else commit
    diff, left_out = _diff(repository, commit, list(changed)) if changed else (None, [])
    try:
        remotes = _remotes(repository)
    except RefusedError as error:
        remotes, left_out = {}, [*left_out, ("git remotes", str(error))]
    return GitState(
        commit, None if branch == "(detached)" else branch, remotes, bool(changed), diff, tuple(left_out)
    )  # fmt: skip


def ask(repository: Path, *arguments: str, **variables: str) -> bytes:
    """The answer of git to a question that changes nothing in the repository. Raises RefusedError with a sentence."""
    return _ask(repository, MAX_STATUS_BYTES, *arguments, variables=variables)


def without_credentials(url: str) -> str:
    """The URL of a remote without user, password and query; of `ssh` the user stays, it is no secret.

    >>> without_credentials("https://me:token@example.org/a.git"), without_credentials("ssh://git@example.org/a.git")
    ('https://example.org/a.git', 'ssh://git@example.org/a.git')
    >>> without_credentials("git@example.org:a.git")
    'git@example.org:a.git'
    """
    if "://" not in url:
        user, at, host = url.partition("@")
        is_odd = at and ":" in user and not {"/", "\\"} & set(user)  # no form that git documents, but it is seen
        return host if is_odd else url
    try:
        scheme, place, path, _, _ = urlsplit(url)
    except ValueError:
        return "(an address that can not be read)"
    user, _, host = place.rpartition("@")
    kept = user.partition(":")[0] if user and not _is_web(scheme.rpartition("+")[2]) else ""
    return urlunsplit((scheme, f"{kept}@{host}" if kept else host, path, "", ""))


def _parsed(status: bytes) -> tuple[dict[str, str], dict[str, None]]:
    """The headers, and the paths of tracked files that differ from the commit; of a renamed file both paths."""
    headers: dict[str, str] = {}
    changed: dict[str, None] = {}
    records = iter(status.split(b"\0"))
    for record in records:
        kind = record[:1]
        if kind == b"#":
            _, key, value = record.decode("utf-8", "replace").split(" ", 2)
            headers[key] = value
        elif kind in _FIELDS_BEFORE_PATH:
            changed[os.fsdecode(record.split(b" ", _FIELDS_BEFORE_PATH[kind])[-1])] = None
            if kind == b"2":
                changed[os.fsdecode(next(records))] = None
    return headers, changed


def _diff(repository: Path, commit: str | None, changed: list[str]) -> tuple[bytes | None, list[Note]]:
    if commit is None:
        return None, [("uncommitted changes", "the repository has no commit yet that they could be compared with")]
    reasons = {path: why_not(path, _size(repository / path)) for path in changed}
    left_out = [(path, f"of its uncommitted change: {why}") for path, why in reasons.items() if why]
    kept = [path for path, why in reasons.items() if why is None]
    if not kept:
        return None, left_out
    if sum(len(os.fsencode(path)) + 1 for path in kept) > MAX_ARGUMENT_BYTES:
        return None, [*left_out, ("uncommitted changes", f"{len(kept):,} files have changed, which is too many")]
    try:
        diff = _ask(
            repository, MAX_DIFF_BYTES, "--literal-pathspecs", "diff", "--no-color", "--no-ext-diff", "--no-textconv",
            "--src-prefix=a/", "--dst-prefix=b/", commit, "--", *kept,
        )  # fmt: skip
    except RefusedError as error:
        return None, [*left_out, ("uncommitted changes", str(error))]
    return diff or None, left_out


def _remotes(repository: Path) -> dict[str, str]:
    found = _ask(repository, MAX_STATUS_BYTES, "config", "--null", "--get-regexp", r"^remote\..*\.url$", allowed=(0, 1))
    pairs = (record.decode("utf-8", "replace").partition("\n") for record in found.split(b"\0") if record)
    return {
        key.removeprefix("remote.").removesuffix(".url"): without_credentials(url)
        for key, _, url in pairs
    }  # fmt: skip


def _size(path: Path) -> int:
    try:
        return path.lstat().st_size
    except OSError:
        return 0  # removed: the diff says so


def _ask(
    repository: Path,
    max_bytes: int,
    *arguments: str,
    allowed: Iterable[int] = (0,),
    variables: Mapping[str, str] | None = None,
) -> bytes:
    """The answer of git. Raises RefusedError, with a sentence."""
    # No hook and no helper of the repository's own configuration is to run: it may be anybody's.
    command = ["git", "-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null", *arguments]
    try:
        process = subprocess.Popen(  # noqa: S603 - fixed words, and paths after "--"
            command, cwd=repository, env=dict(_environment()) | dict(variables or {}), stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
        )  # fmt: skip
    except FileNotFoundError:
        raise RefusedError("git is not installed, so the commit is not known") from None
    except (OSError, ValueError) as error:
        raise RefusedError(f"git could not be started ({error})") from error
    overdue = threading.Event()

    def stop() -> None:
        overdue.set()
        _kill(process)

    timer = threading.Timer(TIMEOUT_S, stop)
    timer.daemon = True
    timer.start()
    try:
        answer, is_long, errors = _read(process, max_bytes)
    finally:
        timer.cancel()
    if overdue.is_set():
        raise RefusedError(f"git did not answer within {TIMEOUT_S:.0f} s")
    if is_long:
        raise RefusedError(f"the answer of git has more than {max_bytes:,} bytes")
    if process.returncode not in allowed:
        why = errors.decode("utf-8", "replace").strip().splitlines()
        raise RefusedError(f"git could not say ({why[0] if why else f'exit code {process.returncode}'})")
    return answer


def _read(process: subprocess.Popen[bytes], max_bytes: int) -> tuple[bytes, bool, bytes]:
    """(the answer, whether there was more, what went to standard error)"""
    with process:
        if process.stdout is None or process.stderr is None:  # for the type checker: both were asked for
            raise RefusedError("git gave no answer")
        answer = process.stdout.read(max_bytes + 1)
        if len(answer) > max_bytes:
            _kill(process)
        return answer, len(answer) > max_bytes, process.stderr.read(4096)


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End git and what it has started, which would keep its output open: it asks submodules with processes of their own."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def _environment() -> Iterator[tuple[str, str]]:
    # GIT_DIR and its kin, which a hook sets, would make git speak of another repository.
    yield from ((name, value) for name, value in os.environ.items() if not name.startswith("GIT_"))
    yield from (("GIT_OPTIONAL_LOCKS", "0"), ("GIT_TERMINAL_PROMPT", "0"), ("LC_ALL", "C"))
