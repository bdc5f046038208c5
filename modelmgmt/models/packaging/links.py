"""What a model was made with: the versions of code, data and environment of its run, as `model.json` names them.

Reads what `modelmgmt/versions/` keeps.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from modelmgmt.versions import code, environment
from modelmgmt.versions.data import record as data

if TYPE_CHECKING:
    from modelmgmt.store.kernel import Kernel


def links_of(kernel: Kernel, run: str) -> dict[str, Any]:
    """The versions that the run has recorded so far; what it has none of is left out."""
    with kernel.database.reading() as connection:
        codes = code.read(connection, run)
        digest = environment.digest_of(connection, run)
        datasets = data.read(connection, run)
    links: dict[str, Any] = {}
    if codes:
        last = codes[-1]
        links["code"] = {
            "number": last.number,
            "tree": last.tree_digest,
            "commit": last.git_commit,
            "dirty": last.is_dirty,
        }
    if digest is not None:
        links["environment"] = digest
    if datasets:
        links["data"] = [
            {"role": role, "name": version.name, "number": version.number, "fingerprint": version.fingerprint}
            for role, version in datasets
        ]
    return links
