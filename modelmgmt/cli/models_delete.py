"""modelmgmt models delete: delete a version, or a whole model, for real."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from modelmgmt.cli.options import DONE, NO, confirmed, json_option, open_store, print_json, store_option


@click.command("delete")
@click.argument("reference")
@click.option("--force", is_flag=True, help="Even while it is in a stage, has an alias, or its run is pinned.")
@click.option("--reason", default="", help="Kept with the event that remains.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@store_option
@json_option
def command(reference: str, force: bool, reason: str, yes: bool, store_path: Path | None, as_json: bool) -> int:
    """Delete a version, as churn:3, or a model with all its versions, as churn. Events remain that say so.

    A package that its run has logged stays with the run. Exits with 1 when the answer is no.
    """
    store = open_store(store_path)
    whole = reference in store.models
    version = None if whole else store.models.version(reference)
    what = f"the model {reference} with {len(store.models[reference])} versions" if whole else str(version)
    if not yes and not confirmed(f"Delete {what} for good?"):
        return NO
    if version is None:
        deleted = store.models.delete(reference, reason=reason, force=force)
    else:
        deleted = store.models[version.model].delete(version, reason=reason, force=force)
    if as_json:
        print_json(asdict(deleted))
    else:
        click.echo(f"Deleted {what}: {len(deleted.objects)} objects, {deleted.bytes:,} bytes.")
    return DONE
