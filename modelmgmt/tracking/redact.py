"""Taking secrets out of what is kept of runs already: as `store/secrets.py` knows them now. An event remains."""

from __future__ import annotations

import shlex
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from modelmgmt.errors import RunInUseError
from modelmgmt.store import events
from modelmgmt.store.collect import collect, expanded
from modelmgmt.store.names import counted
from modelmgmt.store.secrets import hidden, hidden_in_text, hidden_value, replaced
from modelmgmt.store.trees import Entry, Trees
from modelmgmt.tracking import deletion, labels, params
from modelmgmt.tracking import record as records
from modelmgmt.tracking.command_line import without_secrets
from modelmgmt.tracking.steps import table as steps
from modelmgmt.versions import capture, code, git
from modelmgmt.versions.data import record as data
from modelmgmt.versions.left_out import Note, why_replaced

if TYPE_CHECKING:
    from modelmgmt.store.kernel import Kernel
    from modelmgmt.store.objects import Objects
    from modelmgmt.versions.code import CodeVersion

REDACTED = "run.redacted"


@dataclass(frozen=True, slots=True)
class Redaction:
    """What was taken out."""

    runs: Mapping[str, tuple[str, ...]]
    """run -> what of it had secrets: "params: api_key", "code: train.py", ..."""
    objects: tuple[str, ...]
    """The digests of the files that are gone."""
    leftovers: tuple[Path, ...]
    """Where secrets may still be: copies that the store made earlier, and files too young to be collected."""


def redact(kernel: Kernel, runs: Sequence[records.RunRecord]) -> Redaction:
    """Replace secrets in what is kept of runs that have ended: code, cells, uncommitted changes, params, tags, notes,
    errors, commands, what steps show of their inputs, where data is from.

    On return they are not in the store's files, but for the `leftovers`. Artifacts, the content of data, models, and
    events, which are a chain, stay as they are. Raises
    RunInUseError for a run that is still written, and then nothing is changed; StoreWriteError.
    """
    kernel.require_writable()
    capture.of(kernel).settle()
    going_on = [record.name for record in runs if record.true_status == "running"]
    if going_on:
        raise RunInUseError(f"The run {going_on[0]} is still running: finish it first, or leave it out.")
    found: dict[str, tuple[str, ...]] = {}
    old: set[str] = set()
    for record in runs:
        with kernel.database.reading() as connection:
            versions = code.read(connection, record.id)
        cleaned = [_clean_code(kernel.objects, version) for version in versions]
        with kernel.database.writing(durable=True) as connection:
            connection.execute("PRAGMA secure_delete = ON")
            what = [*_clean_rows(connection, record)]
            for before, (after, names) in zip(versions, cleaned, strict=True):
                if after != before:
                    code.overwrite(connection, after)
                    what += [f"code: {name}" for name in names]
                    old |= {before.tree_digest, *filter(None, (before.diff_digest, before.changes_digest))}
            if what:
                found[record.id] = tuple(dict.fromkeys(what))
                events.append(connection, REDACTED, record.id, {"what": found[record.id]})
    if not found:
        return Redaction({}, (), ())
    with kernel.database.reading() as connection:
        grace_s = deletion.BESIDE_WRITERS_S if records.running(connection) else 0.0
    freed = collect(kernel, grace_s=grace_s, among=expanded(kernel, old))
    young = collect(kernel, grace_s=0.0, dry_run=True, among=expanded(kernel, old)).digests
    kernel.objects.sync({kernel.objects.path(digest).parent for digest in freed.digests})
    deletion.scrub(kernel)
    return Redaction(found, freed.digests, deletion.leftovers(kernel, young))


def _clean_rows(connection: sqlite3.Connection, record: records.RunRecord) -> Iterator[str]:
    """Write the rows of a run anew that have secrets, and say which they were."""
    run = record.id
    yield from records.hide_secrets(connection, run, _clean_command(record.command))
    for row in params.read(connection, run):
        after = params.without_secrets(row)
        if after is not row:
            yield f"params: {row.key}"
            params.write(connection, run, [after], overwrite=True)
    tags = labels.read_tags(connection, run)
    changed = {key: kept for key, text in tags.items() if (kept := hidden_value(key, text)) != text}
    labels.write_tags(connection, run, changed)
    yield from (f"tags: {key}" for key in changed)
    yield from (f"step: {name}" for name in steps.hide_secrets(connection, run))
    yield from (f"data: {name}" for name in data.hide_secrets(connection, run))
    count = labels.rewrite_notes(connection, run, hidden_in_text)
    if count:
        yield f"{counted(count, 'note')}"


def _clean_command(command: str) -> str:
    """The same text where no word of it has a secret."""
    try:
        words = shlex.split(command)
    except ValueError:  # it was cut off in the middle of a quoted word
        return hidden(command)
    cleaned = without_secrets(words)
    return command if cleaned == words else shlex.join(cleaned)


def _clean_code(objects: Objects, version: CodeVersion) -> tuple[CodeVersion, list[str]]:
    """The version with placeholders for secrets, whose files are kept; and the names of the files that had some."""
    notes: list[Note] = []
    trees = Trees(objects)
    tree = trees.get(version.tree_digest)
    entries = dict(tree)
    for path, entry in tree.items():
        if entry.mode == "link":
            continue
        data, found = replaced(objects.get(entry.digest), path)
        if found:
            entries[path] = Entry(objects.put_bytes(data).digest, len(data), entry.mode)
            notes.append((path, why_replaced(found)))
    changes, diff = git.Changes(), None
    if version.changes_digest is not None:
        changes = git.Changes.read(trees.get(version.changes_digest), objects.get)
    if version.diff_digest is not None:
        diff = objects.get(version.diff_digest)
    after = git.without_secrets(diff, changes, notes)
    if not notes:
        return version, []
    changes_digest = version.changes_digest
    if changes_digest is not None:
        changed, contents = changes.tree()
        for data in contents.values():
            objects.put_bytes(data)
        changes_digest = trees.put(changed)
    return replace(
        version,
        tree_digest=trees.put(type(tree)(entries)),
        diff_digest=None if after is None else objects.put_bytes(after).digest,
        changes_digest=changes_digest,
        left_out=(*version.left_out, *notes),
    ), [name for name, _ in notes]
