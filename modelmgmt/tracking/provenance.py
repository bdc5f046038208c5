"""What made a run, as flat facts that can be laid side by side: code, data, environment. Reads only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from modelmgmt.errors import NotFoundError, StoreError
from modelmgmt.tracking import again
from modelmgmt.versions.data import DatasetVersion
from modelmgmt.versions.data import read as read_data
from modelmgmt.versions.distributions import normalized

if TYPE_CHECKING:
    from modelmgmt.tracking.run import Run


def code_facts(run: Run) -> dict[str, Any]:
    """The commit and its state, and every file with the beginning of its digest; the latest version of the run's code."""
    try:
        version = run.code.version
    except NotFoundError:
        return {}
    facts: dict[str, Any] = {
        "git commit": version.git_commit and version.git_commit[:12],
        "git branch": version.git_branch,
        "git dirty": version.is_dirty,
        "script": version.script,
    }
    files = {path: entry.digest[:12] for path, entry in run.code.tree.items()}
    return {**{key: value for key, value in facts.items() if value is not None}, **files}


def environment_facts(run: Run) -> dict[str, Any]:
    """Python, platform, hardware, and every distribution with its version."""
    found = run.environment
    if found is None:
        return {}
    facts: dict[str, Any] = {"python": found.python, **found.platform, **found.hardware}
    for each in found.distributions:
        facts[each.name] = f"{each.version} from {each.origin}" if each.origin else each.version
    return facts


def imported_distributions(run: Run) -> set[str] | None:
    """The distributions that the process of the run had imported when its first run started; None when it is not known.

    Which distribution a module belongs to is told by what is installed here, else by its name.
    """
    from importlib.metadata import packages_distributions

    with run._kernel.database.reading() as connection:
        states: Mapping[str, Any] = again.states_of(run._kernel, connection, run.id) or {}
    if "imported" not in states:
        return None
    owners = packages_distributions()
    return {normalized(name) for module in states["imported"] for name in owners.get(module, [module])}


def not_imported(runs: Sequence[Run]) -> set[str]:
    """The names of the distributions that some of the runs had installed, and none had imported when it started.

    Empty when that is not known of one of them.
    """
    installed: set[str] = set()
    imported: set[str] = set()
    try:
        for run in runs:
            found, known = run.environment, imported_distributions(run)
            if known is None:
                return set()
            imported |= known
            installed |= set() if found is None else {each.name for each in found.distributions}
    except (StoreError, NotFoundError):
        return set()  # the comparison itself names what cannot be read
    return {name for name in installed if normalized(name) not in imported}


def data_facts(run: Run) -> dict[str, Any]:
    """Every version of data that the run logged, by its role and name."""
    with run._kernel.database.reading() as connection:
        found = read_data(connection, run.id)
    facts: dict[str, str] = {}
    for role, version in found:
        key = f"{role} {version.name}"
        facts[key] = f"{facts[key]}, {_shown(version)}" if key in facts else _shown(version)
    return facts


def _shown(version: DatasetVersion) -> str:
    """`train:3 1a2b3c4d5e6f`: the number within this store, and the beginning of the fingerprint."""
    return f"{version.reference} {version.fingerprint[:12]}"
