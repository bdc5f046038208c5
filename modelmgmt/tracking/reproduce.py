"""Doing a run again: its files in a new folder, its command, its seeds; and saying what came out.

The new run is an ordinary run of the same store, with the tag `reproduces`.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from modelmgmt.errors import InvalidValueError, NotFoundError, PinnedError, ReproductionError, RunInUseError
from modelmgmt.store.names import counted
from modelmgmt.tracking import again
from modelmgmt.tracking import record as records
from modelmgmt.tracking.causes import Cause, MetricOutcome, causes, outcomes
from modelmgmt.tracking.command import rewritten
from modelmgmt.tracking.restore import Restored, restore
from modelmgmt.versions import bytecode, seeds
from modelmgmt.versions.project import OUTSIDE, ROOT_VARIABLE

if TYPE_CHECKING:
    from modelmgmt.tracking.deletion import Refuse
    from modelmgmt.tracking.run import Run
    from modelmgmt.versions.code import CodeVersion

DEFAULT_HASH_SEED = "0"
_NOT_PASSED_ON = (again.SIBLINGS_VARIABLE, "MODELMGMT_RUN_ID", "MODELMGMT_DISABLED", "MODELMGMT_CODE", "PYTHONHASHSEED")


@dataclass(frozen=True)
class Reproduction:
    """What came of doing a run again."""

    run: str
    new_run: str
    folder: Path
    command: tuple[str, ...]
    metrics: tuple[MetricOutcome, ...]
    causes: tuple[Cause, ...]
    """What differs between what made the two runs, and what could not be put back as it was; nondeterminism alone when
    there is nothing of that. Empty when every metric is equal and nothing differs."""
    notes: tuple[str, ...]

    @property
    def is_reproduced(self) -> bool:
        """Whether every metric is equal or within the tolerance."""
        return all(metric.verdict in ("equal", "within tolerance") for metric in self.metrics)


def reproduce(
    run: Run,
    *,
    into: Path | None = None,
    from_folder: Path | None = None,
    install: bool = False,
    tolerance: float = 0.0,
    keys: Sequence[str] = (),
    siblings: bool = False,
    output: IO[Any] | int | None = None,
    refusals: Sequence[Refuse] = (),
) -> Reproduction:
    """Do the run again and compare; see `Store.reproduce`. `refusals` are asked before a run is deleted.

    Raises InvalidValueError, NotFoundError, and ReproductionError when the command fails or starts no such run.
    """
    if not tolerance >= 0:
        raise InvalidValueError(f"The tolerance is relative and not negative, and {tolerance!r} was given.")
    if unknown := [key for key in keys if key not in run.metrics]:
        raise NotFoundError(
            f"The run {run.id} has no metric {unknown[0]!r}; it has: {', '.join(run.metrics) or 'none'}."
        )
    version = _version(run)
    restored = _files(run, into, from_folder)
    folder, notes = restored.folder, list(restored.notes)
    python = _python(run, folder, install=install, notes=notes)
    cwd, command = _command(run, version, folder, python)
    environment = _variables(run, folder, notes)
    if siblings:
        environment[again.SIBLINGS_VARIABLE] = "1"
    started = _run(command, cwd, environment, output)
    new = _new_run(run, started, command)
    if not siblings:
        notes += _forget_others(new, refusals)
    metrics = outcomes(run, new, tolerance=tolerance, keys=keys)
    is_equal = all(metric.verdict == "equal" for metric in metrics)
    found = causes(run, new, restored.missing)
    if is_equal:  # then what may have had an effect had none
        found = [cause for cause in found if cause.kind not in ("nondeterminism", "not restored")]
    notes += [f"not restored: {what}" for what in restored.missing]
    return Reproduction(run.id, new.id, folder, tuple(command), tuple(metrics), tuple(found), tuple(notes))


def _version(run: Run) -> CodeVersion:
    version = run.code.version
    if version.root is None or version.cwd is None:
        raise NotFoundError(f"Of the run {run.id} it was not recorded where its project was: run it by hand.")
    return version


def _files(run: Run, into: Path | None, from_folder: Path | None) -> Restored:
    if from_folder is not None:
        if into is not None or not from_folder.is_dir():
            raise InvalidValueError(
                f"from_folder is a folder that is there, without into, and {from_folder} was given."
            )
        _forget_outdated_bytecode(run, from_folder)
        return Restored(from_folder.resolve(), (f"the files of {from_folder}, as they are now",))
    if into is None:
        into = Path(tempfile.mkdtemp(prefix=f"reproduce-{run.id}-"))
    return restore(run, into)


def _forget_outdated_bytecode(run: Run, folder: Path) -> None:
    for name in run.code.files:
        try:
            bytecode.forget_outdated(folder / name)
        except OSError as error:
            raise ReproductionError(
                f"The bytecode of {folder / name} is older than its text and cannot be deleted ({error}): delete it."
            ) from error


def _python(run: Run, folder: Path, *, install: bool, notes: list[str]) -> str:
    recorded = run.environment
    if not install:
        return sys.executable
    if recorded is None:
        raise NotFoundError(f"The environment of the run {run.id} was not recorded: reproduce it without install.")
    from modelmgmt.versions.venv import build

    python, left_out = build(recorded, folder / ".venv")
    notes += [f"not installed: {what}" for what in left_out]
    return python


def _command(run: Run, version: CodeVersion, folder: Path, python: str) -> tuple[Path, list[str]]:
    root, relative = str(version.root), str(version.cwd)
    then = os.path.normpath(os.path.join(root, relative))  # noqa: PTH118 - as it was recorded, on whatever machine
    command = rewritten(run.command, root=root, cwd=then, folder=str(folder), python=python, script=version.script)
    cwd = Path(relative) if os.path.isabs(relative) else folder / relative  # noqa: PTH117
    cwd = cwd if cwd.is_dir() or not os.path.isabs(relative) else folder  # noqa: PTH117
    cwd.mkdir(parents=True, exist_ok=True)
    return cwd, command


def _variables(run: Run, folder: Path, notes: list[str]) -> dict[str, str]:
    """The variables of the command: ours, less what would lead it elsewhere."""
    with run._kernel.database.reading() as connection:
        states: Mapping[str, Any] = again.states_of(run._kernel, connection, run.id) or {}
    variables = {name: value for name, value in os.environ.items() if name not in _NOT_PASSED_ON}
    hash_seed = states.get("hash_seed")
    if hash_seed is None:
        notes.append(f"{seeds.HASH_SEED} was not set then, and is {DEFAULT_HASH_SEED} now: sets may have another order")
    outside = {"/".join(path.split("/")[:2]) for path in run.code.files if path.startswith(f"{OUTSIDE}/")}
    found = states.get("path", ["."])
    paths = [str(folder / place) for place in [*found, *sorted(outside.difference(found))]]
    paths += [variables["PYTHONPATH"]] if variables.get("PYTHONPATH") else []
    return {
        **variables,
        seeds.HASH_SEED: hash_seed or DEFAULT_HASH_SEED,
        "PYTHONPATH": os.pathsep.join(paths),
        "MODELMGMT_STORE": str(run._kernel.path),
        ROOT_VARIABLE: str(folder),
        again.VARIABLE: run.id,
    }


def _run(command: list[str], cwd: Path, environment: Mapping[str, str], output: IO[Any] | int | None) -> str:
    """Run the command; returns the id of the newest run before it."""
    from modelmgmt.store.ids import new_id
    from modelmgmt.store.times import now_us

    before = new_id(now_us())
    try:
        done = subprocess.run(  # noqa: S603 - it is the user's own command
            command, cwd=cwd, env=environment, stdout=output, check=False
        )
    except OSError as error:
        raise ReproductionError(f"The command could not be started ({error}): {' '.join(command)[:500]}") from error
    if done.returncode != 0:
        raise ReproductionError(
            f"The command ended with exit code {done.returncode} in {cwd}: {' '.join(command)[:500]}. Its output says why. "
            "Of its data, there are the files that the run logged by their path, with log_dataset."
        )
    return before


def _new_run(run: Run, started: str, command: list[str]) -> Run:
    with run._kernel.database.reading() as connection:
        row = connection.execute(
            "SELECT tags.run FROM tags WHERE key = ? AND value = ? AND run >= ? ORDER BY run DESC LIMIT 1",
            (again.TAG, run.id, started[:9]),
        ).fetchone()
        if row is None:
            raise ReproductionError(
                f"The command ended well, but no run of it stands for {run.id}: none had its experiment "
                f"({run.experiment!r}) and its params. {' '.join(command)[:500]}"
            )
        return type(run)(run._kernel, records.read(connection, row[0]))


def _forget_others(new: Run, refusals: Sequence[Refuse]) -> Iterator[str]:
    """Delete the other runs that the command has started, but for those above and below the one that was asked for."""
    from modelmgmt.tracking.deletion import delete

    kernel = new._kernel
    with kernel.database.reading() as connection:
        started = {record.id: record for record in again.siblings(connection, new._row_now)}
    spared = {new.id}
    above = new.parent
    while above is not None and above not in spared:
        spared.add(above)
        above = started[above].parent if above in started else None
    spared |= {record.id for record in started.values() if _is_below(record, new.id, started)}
    others = [run for run in started if run not in spared]
    deleted: set[str] = set()
    for run in reversed(others):
        try:
            if run not in deleted:
                deleted.update(
                    delete(
                        kernel, run, children=True, reason=f"done again on the way to {new.id}", refusals=refusals
                    ).runs
                )
        except (RunInUseError, PinnedError) as error:
            yield f"the run {run}, which was done again on the way, is kept: {error}"
    if deleted:
        yield f"{counted(len(deleted), 'run')} that the script does before this one: done again, and not kept"


def _is_below(record: records.RunRecord, run: str, started: Mapping[str, records.RunRecord]) -> bool:
    above, seen = record.parent, set[str]()
    while above is not None and above != run and above not in seen:
        seen.add(above)
        above = started[above].parent if above in started else None
    return above == run
