"""What git says about the project: commit, branch, remotes, uncommitted changes. Asks `git`, never changes anything."""

from __future__ import annotations

import hashlib
import json
import os
import re
import signal
import stat
import subprocess
import tempfile
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit, urlunsplit

from modelmgmt.errors import CorruptDataError
from modelmgmt.store.secrets import replaced
from modelmgmt.store.trees import Entry, Tree
from modelmgmt.versions.left_out import Note, why_not, why_replaced

TIMEOUT_S = 20.0  # of one question
CHECKOUT_TIMEOUT_S = 900.0  # a filter may fetch the files from elsewhere
MAX_STATUS_BYTES = 8 << 20
MAX_LISTED_BYTES = 64 << 20  # of the names of all files
MAX_DIFF_BYTES = 5 << 20
MAX_CHANGES_BYTES = 5 << 20  # of the changed files together
CHANGES_FORMAT = "modelmgmt.changes/1"
_MANIFEST = "changes.json"
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
    """The changes of tracked files, for people to read."""
    changes: Tree | None = None
    """The changes as bytes, for `Changes.read`."""
    contents: Mapping[str, bytes] = field(default_factory=dict)
    """digest -> bytes, of what is in `changes`"""
    left_out: tuple[Note, ...] = ()


@dataclass(slots=True)
class Changes:
    """The tracked files that are not as the commit has them, as they are on disk.

    A diff would not do: git compares what its filters (line ends, encodings, LFS) make of a file, so that the bytes on
    disk cannot be had back from it, and how it writes a diff depends on the configuration.
    """

    files: dict[str, tuple[str, bytes]] = field(default_factory=dict)
    """path -> (`file`, `executable` or `link`, its bytes or the target of the link)"""
    removed: list[str] = field(default_factory=list)
    submodules: dict[str, str] = field(default_factory=dict)
    """path -> the commit that is checked out there, where it is another one than the repository says"""

    def tree(self) -> tuple[Tree, dict[str, bytes]]:
        """A tree, and the bytes of its files by digest. Names are in a manifest, as a path may be any bytes."""
        found = [(path, mode, data) for path, (mode, data) in sorted(self.files.items())]
        manifest = {
            "format": CHANGES_FORMAT,
            "files": [[path, mode] for path, mode, _ in found],
            "removed": sorted(self.removed),
            "submodules": dict(sorted(self.submodules.items())),
        }
        named = {str(number): data for number, (_, _, data) in enumerate(found)}
        named[_MANIFEST] = json.dumps(manifest, separators=(",", ":")).encode()
        digests = {name: hashlib.sha256(data).hexdigest() for name, data in named.items()}
        entries = {name: Entry(digests[name], len(data)) for name, data in named.items()}
        return Tree(entries), {digests[name]: data for name, data in named.items()}

    @classmethod
    def read(cls, tree: Tree, get: Any) -> Changes:
        """What `tree` was made of; `get` gives the bytes of a digest. Raises CorruptDataError, and what `get` raises."""
        try:
            manifest = json.loads(get(tree[_MANIFEST].digest))
            if manifest["format"] == CHANGES_FORMAT:
                listed = enumerate(manifest["files"])
                files = {path: (mode, get(tree[str(number)].digest)) for number, (path, mode) in listed}
                return cls(files, list(manifest["removed"]), dict(manifest["submodules"]))
        except (ValueError, KeyError, TypeError) as error:
            raise CorruptDataError(f"These are no uncommitted changes as this library keeps them ({error}).") from error
        raise CorruptDataError(
            f"These uncommitted changes have the format {manifest['format']!r:.80}, which is unknown."
        )


class RefusedError(Exception):
    """git could not answer."""


def find_repository(folder: Path) -> Path | None:
    """The nearest folder, from `folder` upwards, that has a `.git`; no git is needed to see that."""
    for place in (folder, *folder.parents):
        if os.path.lexists(place / ".git"):
            return place
    return None


def look(repository: Path, *, keeps_secrets: bool = False) -> GitState:
    """Ask git. What fails is a note in `left_out`; nothing is raised. Takes some tens of milliseconds.

    Changes of tracked files are in the diff, but not those of secrets, data and large files. Untracked files are not
    looked at: there may be millions.
    """
    changes = Changes()
    left_out: list[Note] = []
    try:
        headers, changed = _status(repository)
        commit, branch = headers.get("branch.oid"), headers.get("branch.head")
        _keep(repository, "", {**changed, **_unwatched(repository, left_out)}, changes, left_out)
        commit = None if commit == "(initial)" else commit
        diff, unread = _diff(repository, commit, list(changed))
    except RefusedError as error:
        return GitState(left_out=(("git", str(error)),))
    try:
        remotes = _remotes(repository)
    except RefusedError as error:
        remotes, unread = {}, [*unread, ("git remotes", str(error))]
    if not keeps_secrets:
        diff = without_secrets(diff, changes, left_out)
    tree, contents = changes.tree() if changes != Changes() else (None, {})
    return GitState(
        commit, None if branch == "(detached)" else branch, remotes, bool(changed), diff, tree, contents,
        (*left_out, *unread),
    )  # fmt: skip


def without_secrets(diff: bytes | None, changes: Changes, left_out: list[Note]) -> bytes | None:
    """The diff with placeholders for the secrets in it; the changed files get them, too, and `left_out` a note of each."""
    for name, (mode, data) in changes.files.items():
        kept, found = (data, ()) if mode == "link" else replaced(data, name)
        if found:
            changes.files[name] = (mode, kept)
            left_out.append((name, f"its uncommitted change is {why_replaced(found)}"))
    parts = re.split(rb"(?m)^(?=diff --git )", diff or b"")  # what is a value depends on the kind of file
    kept_parts = [replaced(part, os.fsdecode(part.partition(b"\n")[0])) for part in parts]
    if not any(found for _, found in kept_parts):
        return diff
    left_out.append(("the text of the uncommitted changes", "kept with placeholders for secrets"))
    return b"".join(part for part, _ in kept_parts)


def ask(repository: Path, *arguments: str, timeout_s: float = 0, **variables: str) -> bytes:
    """The answer of git to a question that changes nothing in the repository. Raises RefusedError with a sentence.

    `timeout_s` is 20 by default.
    """
    return _ask(repository, MAX_STATUS_BYTES, *arguments, variables=variables, timeout_s=timeout_s or TIMEOUT_S)


def checkout(repository: Path, commit: str, folder: Path, submodules: Mapping[str, str] | None = None) -> list[Note]:
    """Write the files of a commit to `folder`, as git does at a checkout; nothing in the repository changes.

    `submodules` are commits of submodules that are other ones than `commit` says, by path. Returns what could not be
    written, and why. Raises RefusedError when nothing could.
    """
    folder.mkdir(parents=True, exist_ok=True)
    chosen = dict(submodules or {})
    with tempfile.TemporaryDirectory(prefix="modelmgmt-") as place:
        # An index of its own: the repository's is not touched. The attributes are those of the commit, as the index says.
        variables = {"GIT_INDEX_FILE": f"{place}/index", "GIT_WORK_TREE": str(folder)}
        write = ("read-tree", "--reset", "-u", "--no-sparse-checkout", commit)
        notes = []
        try:
            ask(repository, *write, timeout_s=CHECKOUT_TIMEOUT_S, **variables)
        except RefusedError as error:
            ask(repository, "cat-file", "-e", f"{commit}^{{commit}}")
            notes = _checkout_unfiltered(repository, write, variables, error)
        listed = _ask(repository, MAX_LISTED_BYTES, "ls-files", "-s", "-z", variables=variables).split(b"\0")
    for line in filter(None, listed):
        about, _, name = line.partition(b"\t")
        mode, digest, _ = about.decode("ascii").split(" ")
        path = os.fsdecode(name)
        if mode == "160000":
            inner = {sub[len(path) + 1 :]: oid for sub, oid in chosen.items() if sub.startswith(f"{path}/")}
            notes += _checkout_submodule(repository / path, path, chosen.pop(path, digest), folder / path, inner)
        elif not os.path.lexists(folder / path):
            notes.append((path, "git could not write it"))
    for path, digest in chosen.items():
        if not any(path.startswith(f"{other}/") for other in submodules or {} if other != path):  # that are new
            notes += _checkout_submodule(repository / path, path, digest, folder / path, {})
    return notes


def _checkout_submodule(
    repository: Path, path: str, commit: str, folder: Path, submodules: Mapping[str, str]
) -> list[Note]:
    if not os.path.lexists(repository / ".git"):
        return [(path, "it is a submodule that is not checked out in the repository: its folder is empty")]
    try:
        notes = checkout(repository, commit, folder, submodules)
    except RefusedError as error:
        return [(path, f"the submodule does not have its commit {commit[:10]} ({error})")]
    return [(f"{path}/{name}", why) for name, why in notes]


def _checkout_unfiltered(
    repository: Path, write: tuple[str, ...], variables: Mapping[str, str], error: RefusedError
) -> list[Note]:
    """A filter that the checkout needs, as that of LFS, cannot be run: write what git itself has, and name these files."""
    found = _ask(
        repository, MAX_STATUS_BYTES, "config", "--null", "--get-regexp", r"^filter\..*\.required$", allowed=(0, 1)
    )
    names = [record.split(b"\n")[0] for record in found.split(b"\0") if record]
    if not names:
        raise error
    off = [word for name in names for word in ("-c", f"{os.fsdecode(name)}=false")]
    ask(repository, *off, *write, timeout_s=CHECKOUT_TIMEOUT_S, **variables)
    filters = {os.fsdecode(name).removeprefix("filter.").removesuffix(".required") for name in names}
    paths = _ask(repository, MAX_LISTED_BYTES, "ls-files", "-z", variables=variables)
    answer = _ask(
        repository,
        MAX_LISTED_BYTES,
        "check-attr",
        "--cached",
        "-z",
        "--stdin",
        "filter",
        variables=variables,
        question=paths,
    ).split(b"\0")
    why = f"it may be as git keeps it, as its filter could not be run ({error})"
    pairs = zip(answer[::3], answer[2::3], strict=False)
    return [(os.fsdecode(path), why) for path, value in pairs if value.decode() in filters]


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
        return "(an address that cannot be read)"
    user, _, host = place.rpartition("@")
    kept = user.partition(":")[0] if user and not _is_web(scheme.rpartition("+")[2]) else ""
    return urlunsplit((scheme, f"{kept}@{host}" if kept else host, path, "", ""))


def _status(repository: Path) -> tuple[dict[str, str], dict[str, str]]:
    """The headers; and each path that differs from the commit (of a renamed file both), with what git says of a submodule."""
    status = _ask(
        repository, MAX_STATUS_BYTES, "status", "--porcelain=v2", "--branch", "-z", "--untracked-files=no",
        "--ignore-submodules=untracked",
    )  # fmt: skip
    headers: dict[str, str] = {}
    changed: dict[str, str] = {}
    records = iter(status.split(b"\0"))
    for record in records:
        kind = record[:1]
        if kind == b"#":
            _, key, value = record.decode("utf-8", "replace").split(" ", 2)
            headers[key] = value
        elif kind in _FIELDS_BEFORE_PATH:
            fields = record.split(b" ", _FIELDS_BEFORE_PATH[kind])
            changed[os.fsdecode(fields[-1])] = fields[2].decode("ascii")
            if kind == b"2":
                changed[os.fsdecode(next(records))] = "N..."
    return headers, changed


def _unwatched(repository: Path, left_out: list[Note]) -> dict[str, str]:
    """The files that are there and that git was told not to look at (assume-unchanged, skip-worktree): it sees no change."""
    try:
        listed = _ask(repository, MAX_LISTED_BYTES, "ls-files", "-v", "-z").split(b"\0")
    except RefusedError as error:
        left_out.append(("files that git does not look at", f"a change of them was not seen: {error}"))
        return {}
    marked = [os.fsdecode(line[2:]) for line in listed if line[:1] and line[:1] != b"H"]
    return {path: "N..." for path in marked if os.path.lexists(repository / path)}


def _keep(repository: Path, prefix: str, changed: Mapping[str, str], kept: Changes, left_out: list[Note]) -> None:
    """Add what is on disk of the changed paths; of a submodule, what has changed in it."""
    room = MAX_CHANGES_BYTES - sum(len(data) for _, data in kept.files.values())
    for path, submodule in sorted(changed.items(), key=lambda item: (_size(repository / item[0]), item[0])):
        place, name = repository / path, prefix + path
        try:
            about = place.lstat()
            if stat.S_ISDIR(about.st_mode):
                if submodule.startswith("S"):
                    _keep_submodule(place, f"{name}/", submodule, kept, left_out)
                else:  # a folder where the commit has a file
                    kept.removed.append(name)
                continue
            why = why_not(path, about.st_size)
            if why is None and about.st_size > room:
                why = f"all changed files together have more than {MAX_CHANGES_BYTES:,} bytes"
            if why is None and not (stat.S_ISREG(about.st_mode) or stat.S_ISLNK(about.st_mode)):
                why = "it is a pipe, a socket or a device"
            if why is not None:
                left_out.append((name, f"its uncommitted change is not kept: {why}"))
                continue
            if stat.S_ISLNK(about.st_mode):
                mode, data = "link", os.fsencode(place.readlink())
            else:
                mode, data = "executable" if about.st_mode & 0o100 else "file", place.read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            kept.removed.append(name)
        except OSError as error:
            left_out.append((name, f"its uncommitted change is not kept: {error.strerror or error}"))
        else:
            kept.files[name] = (mode, data)
            room -= len(data)


def _keep_submodule(place: Path, prefix: str, state: str, kept: Changes, left_out: list[Note]) -> None:
    headers, changed = _status(place)
    commit = headers.get("branch.oid")
    if commit is not None and (state[1] == "C" or state == "S..."):  # S...: it is new, as a whole
        kept.submodules[prefix[:-1]] = commit
    _keep(place, prefix, changed, kept, left_out)


def _diff(repository: Path, commit: str | None, changed: list[str]) -> tuple[bytes | None, list[Note]]:
    kept = [path for path in changed if why_not(path, _size(repository / path)) is None]
    if not kept:
        return None, []
    what = "the text of the uncommitted changes"
    if sum(len(os.fsencode(path)) + 1 for path in kept) > MAX_ARGUMENT_BYTES:
        return None, [(what, f"{len(kept):,} files have changed, which is too many")]
    try:
        if commit is None:
            commit = _ask(repository, 1024, "hash-object", "-t", "tree", "--stdin").decode("ascii").strip()
        # What a configuration may say of a diff is said here: the text is read by people, and by `git apply`.
        diff = _ask(
            repository, MAX_DIFF_BYTES, "-c", "diff.relative=false", "--literal-pathspecs", "diff",
            "--no-color", "--no-ext-diff", "--no-textconv", "--src-prefix=a/", "--dst-prefix=b/", "--unified=3",
            "--inter-hunk-context=0", "--find-renames", "--diff-algorithm=default", "--submodule=short",
            "--ignore-submodules=none", commit, "--", *kept,
        )  # fmt: skip
    except RefusedError as error:
        return None, [(what, str(error))]
    return diff or None, []


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
    timeout_s: float | None = None,
    question: bytes = b"",
) -> bytes:
    """The answer of git, which gets `question` as its input. Raises RefusedError, with a sentence."""
    # No hook and no helper of the repository's own configuration is to run: it may be anybody's. A warning for each file
    # with other line ends is nothing that anybody here reads; a file of orders that is missing ends git.
    settings = ("core.fsmonitor=false", "core.hooksPath=/dev/null", "core.safecrlf=false", "diff.orderFile=/dev/null")
    command = ["git", *(word for setting in settings for word in ("-c", setting)), *arguments]
    timeout_s = TIMEOUT_S if timeout_s is None else timeout_s
    with tempfile.TemporaryFile() as errors, tempfile.TemporaryFile() as asked:  # no pipes: one would wait for another
        asked.write(question)
        asked.seek(0)
        streams = (asked, errors)
        answer, is_long, code = _answer(command, repository, dict(variables or {}), streams, max_bytes, timeout_s)
        errors.seek(0)
        why = errors.read(4096).decode("utf-8", "replace").strip().splitlines()
    if is_long:
        raise RefusedError(f"the answer of git has more than {max_bytes:,} bytes")
    if code not in allowed:
        raise RefusedError(f"git could not say ({why[0] if why else f'exit code {code}'})")
    return answer


def _answer(
    command: list[str],
    repository: Path,
    variables: dict[str, str],
    streams: tuple[IO[bytes], IO[bytes]],
    max_bytes: int,
    timeout_s: float,
) -> tuple[bytes, bool, int]:
    """(the answer, whether there was more, the exit code). `streams` are standard input and standard error."""
    try:
        process = subprocess.Popen(  # noqa: S603 - fixed words, and paths after "--"
            command, cwd=repository, env=dict(_environment()) | variables, stdin=streams[0],
            stdout=subprocess.PIPE, stderr=streams[1], start_new_session=True,
        )  # fmt: skip
    except FileNotFoundError:
        raise RefusedError("git is not installed, so the commit is not known") from None
    except (OSError, ValueError) as error:
        raise RefusedError(f"git could not be started ({error})") from error
    overdue = threading.Event()

    def stop() -> None:
        overdue.set()
        _kill(process)

    timer = threading.Timer(timeout_s, stop)
    timer.daemon = True
    timer.start()
    try:
        with process:
            if process.stdout is None:  # for the type checker: it was asked for
                raise RefusedError("git gave no answer")
            answer = process.stdout.read(max_bytes + 1)
            if len(answer) > max_bytes:
                _kill(process)
    finally:
        timer.cancel()
    if overdue.is_set():
        raise RefusedError(f"git did not answer within {timeout_s:.0f} s")
    return answer, len(answer) > max_bytes, process.returncode


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End git and what it has started, which would keep its output open: it asks submodules with processes of their own."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def _environment() -> Iterator[tuple[str, str]]:
    # GIT_DIR and its kin, which a hook sets, would make git speak of another repository.
    yield from ((name, value) for name, value in os.environ.items() if not name.startswith("GIT_"))
    yield from (("GIT_OPTIONAL_LOCKS", "0"), ("GIT_TERMINAL_PROMPT", "0"), ("LC_ALL", "C"))
