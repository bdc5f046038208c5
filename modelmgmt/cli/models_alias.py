"""modelmgmt models alias: other names of a version."""

from __future__ import annotations

from pathlib import Path

import click

from modelmgmt.cli.options import DONE, json_option, open_store, print_json, store_option


@click.command("alias")
@click.argument("version")
@click.argument("alias")
@click.option("--remove", is_flag=True, help="Take the alias away from the version.")
@click.option("--reason", default="", help="Why; kept with the event.")
@store_option
@json_option
def command(version: str, alias: str, remove: bool, reason: str, store_path: Path | None, as_json: bool) -> int:
    """Give VERSION, as churn:3, another name: it answers to churn@ALIAS then. An alias that is there moves."""
    store = open_store(store_path)
    found = store.models.version(version)
    model = store.models[found.model]
    if remove:
        if model.aliases.get(alias) not in (None, found.number):
            raise click.UsageError(f"{alias!r} is version {model.aliases[alias]}, not {found.number}.")
        model.remove_alias(alias, reason=reason)
    else:
        model.set_alias(alias, found, reason=reason)
    if as_json:
        print_json({"model": model.name, "aliases": model.aliases})
    else:
        for name, number in model.aliases.items():
            click.echo(f"{model.name}@{name} is {model.name}:{number}")
    return DONE
