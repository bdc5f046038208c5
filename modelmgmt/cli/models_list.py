"""modelmgmt models list: which models, which versions."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import click

from modelmgmt.cli.options import DONE, NO, json_option, open_store, print_json, print_table, store_option
from modelmgmt.front import Store


@click.command("list")
@click.argument("filter", default="")
@click.option("--model", "-m", metavar="NAME", help="List the versions of one model.")
@click.option("--stage", "-s", metavar="STAGE", help="List the versions in a stage.")
@click.option("--tag", "-t", "tags", multiple=True, metavar="KEY=VALUE", help="List the versions with a tag.")
@click.option("--text", metavar="TEXT", default="", help="List versions with this in a name or description.")
@store_option
@json_option
def command(
    filter: str,  # noqa: A002
    model: str | None,
    stage: str | None,
    tags: tuple[str, ...],
    text: str,
    store_path: Path | None,
    as_json: bool,
) -> int:
    """List the registered models; with anything to search for, versions, the newest first.

    \b
    modelmgmt models list
    modelmgmt models list "metrics.acc > 0.9" --stage staging

    FILTER is about the runs of the versions, as for 'modelmgmt runs'. Exits with 1 when nothing is found.
    """
    store = open_store(store_path)
    if filter or model or stage or tags or text:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            found = store.models.search(filter, model=model, stage=stage, tags=dict(map(pair, tags)), text=text)
        if as_json:
            print_json([describe_version(version) for version in found])
        else:
            from modelmgmt.view.models import versions_table

            print_table(versions_table(found, None))
        for warning in caught:
            click.echo(str(warning.message), err=True)
        return DONE if found else NO
    if as_json:
        print_json([describe_model(store, name) for name in store.models])
    else:
        from modelmgmt.view.models import models_table

        print_table(models_table(store.models.values(), None))
    return DONE if len(store.models) else NO


def pair(text: str) -> tuple[str, str]:
    """KEY=VALUE. Raises UsageError."""
    key, mark, value = text.partition("=")
    if not mark:
        raise click.UsageError(f"A tag is written KEY=VALUE, and {text!r} was given.")
    return key, value


def describe_model(store: Store, name: str) -> dict[str, Any]:
    """A model for JSON."""
    model = store.models[name]
    newest = model.row.last_number if len(model) else None
    placed = {stage: number for stage in model.stages.names[1:-1] if (number := model.placed(stage)) is not None}
    return {
        "name": name, "versions": len(model), "newest": newest, "placed": placed, "aliases": model.aliases,
        "description": model.description, "tags": model.tags,
    }  # fmt: skip


def describe_version(version: Any) -> dict[str, Any]:
    """A version for JSON."""
    row = version.row
    return {
        "model": row.model, "number": row.number, "stage": row.stage, "aliases": version.aliases, "format": row.format,
        "run": row.run, "artifact": row.artifact, "digest": row.digest, "description": row.description,
        "created_at": row.created_at, "created_by": row.created_by, "tags": version.tags,
    }  # fmt: skip
