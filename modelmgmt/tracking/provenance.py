"""What made a run, as flat facts that can be laid side by side: code, data, environment. Reads only."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from modelmgmt.errors import NotFoundError
from modelmgmt.versions.data import DatasetVersion
from modelmgmt.versions.data import read as read_data

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


def data_facts(run: Run) -> dict[str, Any]:
    """Every version of data that the run logged, by its role and name."""
    with run.kernel.database.reading() as connection:
        found = read_data(connection, run.id)
    facts: dict[str, str] = {}
    for role, version in found:
        key = f"{role} {version.name}"
        facts[key] = f"{facts[key]}, {_shown(version)}" if key in facts else _shown(version)
    return facts


def _shown(version: DatasetVersion) -> str:
    """`train:3 1a2b3c4d5e6f`: the number within this store, and the beginning of the fingerprint."""
    return f"{version.reference} {version.fingerprint[:12]}"
