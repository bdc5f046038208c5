"""Capturing what a run is made of, off the caller's time.

What is known already is written with the run itself, in one transaction. What is not (a file that was never kept, what
git says, the environment of a new process) is a job for a thread of its own, which ends when no job is left; until then
the run's row carries a note that says so. `settle` waits for it: at `flush`, at `finish`, and so before the process ends.
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
import threading
import weakref
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any

from modelmgmt.errors import StoreError
from modelmgmt.store.secrets import replaced
from modelmgmt.store.trees import Tree, Trees
from modelmgmt.versions import code, environment, seeds
from modelmgmt.versions.code import CodeVersion
from modelmgmt.versions.git import GitState, look
from modelmgmt.versions.installation import Installation
from modelmgmt.versions.left_out import Note, spelled_out
from modelmgmt.versions.project import find_project, import_path
from modelmgmt.versions.snapshot import Snapshot, Sources, recall, remember

if TYPE_CHECKING:
    from modelmgmt.store.kernel import Kernel

GIT_FRESH_S = 2.0
"""Within one process git is asked again only after so long: a search that does hundreds of runs a second asks it once."""
PENDING: Note = ("the code", "not all of it was captured yet when this was written")
_EMPTY = Tree({}).encode()
_ODD_FOLDER = "its name is not UTF-8, so that it cannot be found again: reproduce with --from-folder"
EMPTY_DIGEST = hashlib.sha256(_EMPTY).hexdigest()


@dataclass(frozen=True, slots=True)
class Chosen:
    """What `start_run` was told of code."""

    patterns: tuple[str, ...] = ()
    """Of files, relative to the project, that are kept beside what is executed."""
    keeps_secrets: bool = False


@dataclass(frozen=True, slots=True)
class Prepared:
    """What is executed and where, as of one moment; nothing is kept yet."""

    snapshot: Snapshot | None
    seeds: dict[str, Any] | None
    notes: tuple[Note, ...] = ()
    """What was left out beside the code."""


@dataclass(frozen=True, slots=True)
class Job:
    """What is still to be kept for a run."""

    run: str
    prepared: Prepared
    version: CodeVersion | None
    needs_environment: bool


class Captures:
    """The captures of one store in this process. Safe to share between threads, and across forks."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = weakref.ref(kernel)
        self._lock = threading.Lock()
        self._jobs: list[Job] = []
        self._failed: list[Job] = []
        self._thread: threading.Thread | None = None
        self._has_empty = False

    def prepare(self, chosen: Chosen | None, notes: tuple[Note, ...] = ()) -> Prepared:
        """Look at what is executed now; `chosen` is None for no code at all. `notes` are for `left_out`."""
        states = seeds.at_first_run()
        if chosen is None:
            return Prepared(None, None)
        kernel = self._here()
        with _process.lock:
            sources = _process.sources_of(kernel, keeps_secrets=chosen.keeps_secrets)
            snapshot = sources.snapshot(chosen.patterns) if sources else None
        if states is not None and snapshot is not None:
            states = {**states, "path": import_path(snapshot.root, snapshot.outside)}
        return Prepared(snapshot, states if snapshot else None, notes)

    def insert(self, connection: sqlite3.Connection, run: str, prepared: Prepared) -> Job | None:
        """Write, in the caller's transaction, what is known; returns what is left to do for `submit`."""
        has_environment = _process.installation.insert(connection, run, self._here().path / "tmp")
        snapshot = prepared.snapshot
        if snapshot is None:
            return None if has_environment else Job(run, prepared, None, needs_environment=True)
        version = self._version(run, 0, code.START, snapshot)
        version = replace(version, left_out=(*version.left_out, *prepared.notes))
        state = _process.fresh_state(snapshot.repository, keeps_secrets=snapshot.keeps_secrets)
        if state is not None and prepared.seeds is None:
            whole = _with_state(version, state)
            if code.is_named(connection, whole.tree_digest, whole.diff_digest, whole.changes_digest):
                code.insert(connection, whole)
                return None if has_environment else Job(run, prepared, None, needs_environment=True)
        code.insert(connection, self._pending(connection, version))
        return Job(run, prepared, version, needs_environment=not has_environment)

    def submit(self, job: Job | None) -> None:
        """Do the rest in the background. What fails there is done again, on the caller's thread, by `settle`."""
        if job is None:
            return
        with self._lock:
            self._jobs.append(job)
            if self._thread is not None:
                return
            self._thread = threading.Thread(target=self._work, name="modelmgmt-code", daemon=True)
            try:
                self._thread.start()
            except RuntimeError:  # too many threads, or the interpreter is ending
                self._thread = None
                self._failed.append(self._jobs.pop())

    def settle(self) -> None:
        """Wait for all that was submitted, and do again what failed. Raises StoreError."""
        while (thread := self._thread) is not None:
            thread.join()
        while self._failed:
            job = self._failed.pop()
            try:
                self._keep(job)
            except StoreError:
                self._failed.append(job)
                raise

    def checkpoint(self, run: str, reason: str, *, unless: str | None = None, chosen: Chosen = Chosen()) -> str | None:
        """Keep what is executed now as one more version of the run, unless its tree is `unless`; returns its tree.

        On return it survives SIGKILL. Raises StoreError.
        """
        snapshot = self.prepare(chosen).snapshot
        if snapshot is None or snapshot.tree_digest == unless:
            return unless
        version = self._put(self._version(run, 0, reason, snapshot), snapshot)
        with self._here().database.writing() as connection:
            code.insert(connection, replace(version, number=code.next_number(connection, run)))
        return snapshot.tree_digest

    def forget_parent(self) -> None:
        """In the child of a fork: what was under way is the parent's."""
        self._lock = threading.Lock()
        self._jobs, self._failed, self._thread = [], [], None

    def _work(self) -> None:
        while True:
            with self._lock:
                if not self._jobs:
                    self._thread = None
                    return
                job = self._jobs.pop(0)
            try:
                self._keep(job)
            except StoreError:
                # Nothing is lost: settle() meets the same error on the caller's thread, where it follows on_error.
                self._failed.append(job)
            except BaseException:
                self._thread = None
                raise

    def _keep(self, job: Job) -> None:
        kernel = self._here()
        environment_digest = _process.installation.keep(kernel) if job.needs_environment else None
        snapshot, version = job.prepared.snapshot, job.version
        if snapshot is not None and version is not None:
            seeds_digest = None
            if job.prepared.seeds is not None:
                seeds_digest = kernel.objects.put_bytes(seeds.encode(job.prepared.seeds)).digest
            version = replace(self._put(version, snapshot), seeds_digest=seeds_digest)
        with kernel.database.writing() as connection:
            if version is not None:
                code.overwrite(connection, version)
            if environment_digest is not None:
                environment.write(connection, job.run, environment_digest)

    def _put(self, version: CodeVersion, snapshot: Snapshot) -> CodeVersion:
        """Keep every file of the snapshot, its tree and git's diff. On return they survive a power cut."""
        objects = self._here().objects
        state = _process.state(snapshot.repository, keeps_secrets=snapshot.keeps_secrets)
        pending: set[Path] = set()
        entries = dict(snapshot.entries)
        for path, entry in snapshot.entries.items():
            if objects.freshen(entry.digest) is None:  # and not `has`: a collector spares what is fresh
                data = snapshot.contents.get(entry.digest)
                if data is None:
                    data = _read(snapshot.files[path])
                    data = data if snapshot.keeps_secrets else replaced(data, path)[0]
                stored = objects.put_bytes(data, pending=pending)
                if stored.digest != entry.digest:
                    del entries[path]
        if state.diff is not None:
            objects.put_bytes(state.diff, pending=pending)
        for data in state.contents.values():
            objects.put_bytes(data, pending=pending)
        objects.sync(pending)
        if state.changes is not None:
            Trees(objects).put(state.changes)
        tree_digest = Trees(objects).put(Tree(entries))
        gone = [
            (path, "it changed on disk before it could be kept") for path in snapshot.entries.keys() - entries.keys()
        ]
        _process.remember(self._here(), snapshot)
        version = replace(version, tree_digest=tree_digest, left_out=(*version.left_out, *gone))
        return _with_state(version, state)

    def _pending(self, connection: sqlite3.Connection, version: CodeVersion) -> CodeVersion:
        """The version as far as it is known: of a tree that is not in the store the digest can't be named yet."""
        tree_digest = version.tree_digest
        if not code.is_named(connection, tree_digest):
            tree_digest = EMPTY_DIGEST
            if not self._has_empty:
                self._here().objects.put_bytes(_EMPTY, pending=set())
                self._has_empty = True
        return replace(version, tree_digest=tree_digest, left_out=(*version.left_out, PENDING))

    @staticmethod
    def _version(run: str, number: int, reason: str, snapshot: Snapshot) -> CodeVersion:
        root, cwd = spelled_out(snapshot.root), spelled_out(snapshot.cwd)
        odd = [] if (root, cwd) == (snapshot.root, snapshot.cwd) else [(root, _ODD_FOLDER)]
        return CodeVersion(
            run=run, number=number, captured_at=datetime.now(UTC), reason=reason, script=snapshot.script,
            git_commit=None, git_branch=None, git_remotes={}, is_dirty=None, tree_digest=snapshot.tree_digest,
            diff_digest=None, changes_digest=None, left_out=(*odd, *snapshot.left_out), root=root, cwd=cwd, seeds_digest=None,
        )  # fmt: skip

    def _here(self) -> Kernel:
        kernel = self._kernel()
        if kernel is None:  # whoever calls holds a run, which holds its kernel
            raise StoreError("The store was closed while its code was captured.")
        return kernel


class _Process:
    """What all stores of this process share: what it executes, what git said, what is installed."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.sources: dict[bool, Sources] = {}
        """Those that keep secrets and those that do not."""
        self.installation = Installation()
        self._looked: dict[tuple[Path, bool], tuple[float, GitState]] = {}

    def sources_of(self, kernel: Kernel, *, keeps_secrets: bool) -> Sources | None:
        """The sources of the project that this process is in now; None where it is in none."""
        before = self.sources.get(keeps_secrets)
        if before is not None and not self._is_elsewhere(before):
            return before
        project = find_project()
        if project is None:
            return None
        if before is not None and (before.project.root, before.project.script) == (project.root, project.script):
            before.project = project
            return before
        known = recall(kernel.path / "tmp", project.root)
        self.sources[keeps_secrets] = Sources(project, keeps_secrets=keeps_secrets, known=known)
        return self.sources[keeps_secrets]

    def remember(self, kernel: Kernel, snapshot: Snapshot) -> None:
        """All of the snapshot is kept: write down what is known of its files, and let go of their bytes."""
        with self.lock:
            sources = self.sources.get(snapshot.keeps_secrets)
            if sources is None or sources.project.root != snapshot.root or not snapshot.contents:
                return
            sources.settled(snapshot)
            known = dict(sources.known)
        remember(kernel.path / "tmp", snapshot.root, known)

    def fresh_state(self, repository: Path | None, *, keeps_secrets: bool) -> GitState | None:
        """What git said a moment ago; None when it is time to ask again."""
        if repository is None:
            return GitState()
        looked = self._looked.get((repository, keeps_secrets))
        return looked[1] if looked is not None and monotonic() - looked[0] < GIT_FRESH_S else None

    def state(self, repository: Path | None, *, keeps_secrets: bool) -> GitState:
        """What git says; asked unless it was a moment ago."""
        state = self.fresh_state(repository, keeps_secrets=keeps_secrets)
        if state is None and repository is not None:
            state = look(repository, keeps_secrets=keeps_secrets)
            self._looked = {(repository, keeps_secrets): (monotonic(), state)}
        return state or GitState()

    @staticmethod
    def _is_elsewhere(sources: Sources) -> bool:
        try:
            return sources.project.folder != os.getcwd()  # noqa: PTH109 - text
        except OSError:
            return True


_process = _Process()
_captures: weakref.WeakKeyDictionary[Kernel, Captures] = weakref.WeakKeyDictionary()


def of(kernel: Kernel) -> Captures:
    """The captures of a store."""
    found = _captures.get(kernel)
    if found is None:
        found = _captures.setdefault(kernel, Captures(kernel))
    return found


def _with_state(version: CodeVersion, state: GitState) -> CodeVersion:
    diff_digest = None if state.diff is None else hashlib.sha256(state.diff).hexdigest()
    changes_digest = None if state.changes is None else hashlib.sha256(state.changes.encode()).hexdigest()
    return replace(
        version, git_commit=state.commit, git_branch=state.branch, git_remotes=state.remotes, is_dirty=state.is_dirty,
        diff_digest=diff_digest, changes_digest=changes_digest, left_out=(*version.left_out, *state.left_out),
    )  # fmt: skip


def _read(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError:
        return b""  # gone: the digest tells


def _after_fork_in_child() -> None:
    _process.lock = threading.RLock()
    for captures in list(_captures.values()):
        captures.forget_parent()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
