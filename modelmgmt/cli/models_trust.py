"""modelmgmt models trust: whose models may run code here."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import click

from modelmgmt.cli.groups import Group
from modelmgmt.cli.options import DONE, json_option, print_json, print_table


@click.group("trust", cls=Group)
def command() -> None:
    """Show and change whose executable models are loaded: your own key, and the keys of others that you trust.

    The list is yours, in ~/.config/modelmgmt (or $MODELMGMT_CONFIG), and holds for every store.

    \b
    modelmgmt models trust key
    modelmgmt models trust add FINGERPRINT --name "build server" --reason "signs the nightly models"
    modelmgmt models trust list
    modelmgmt models trust remove "build server"
    """


@command.command("list")
@json_option
def list_keys(as_json: bool) -> int:
    """List the keys that you trust, your own first."""
    from modelmgmt.models.trust import keys
    from modelmgmt.view.tables import Column, Table

    own = [_own(key) for key in keys.own_keys()]
    trusted = [asdict(key) for key in keys.trusted_keys().values()]
    if as_json:
        print_json({"folder": str(keys.config_folder()), "own": own, "trusted": trusted})
        return DONE
    rows = [(key["fingerprint"], "(your own)", key["algorithm"], key["created_at"][:10]) for key in own]
    rows += [(key["fingerprint"], key["name"], key["reason"], key["added_at"][:10]) for key in trusted]
    columns = (Column("fingerprint", is_whole=True), Column("name"), Column("why", rank=1), Column("since", rank=2))
    print_table(Table(columns, tuple(rows), "" if rows else "No key yet: one is made when you log a model."))
    return DONE


@command.command("key")
@json_option
def show_key(as_json: bool) -> int:
    """Show the fingerprint of your own key, made if there is none: what others add to their list to trust you."""
    from modelmgmt.models.trust import keys

    key = keys.own_key()
    assert key is not None  # noqa: S101 - it was made
    if as_json:
        print_json(_own(key))
    else:
        click.echo(key.fingerprint)
        if key.public is None:
            click.echo(
                "It is an HMAC, which nobody else can check: pip install 'modelmgmt[models]' for Ed25519.", err=True
            )
    return DONE


@command.command("add")
@click.argument("fingerprint")
@click.option("--name", required=True, help="What you call it.")
@click.option("--reason", default="", help="Why you trust it; kept with it.")
@json_option
def add_key(fingerprint: str, name: str, reason: str, as_json: bool) -> int:
    """Trust what is written under the key with this FINGERPRINT, all 64 digits of it."""
    from modelmgmt.models.trust import keys

    added = keys.trust_key(fingerprint, name, reason)
    if as_json:
        print_json(asdict(added))
    else:
        click.echo(f"From now on you trust what {added.name} ({fingerprint[:16]}...) writes, in every store.")
    return DONE


@command.command("remove")
@click.argument("key")
@json_option
def remove_key(key: str, as_json: bool) -> int:
    """Trust a key no more: its fingerprint, or the name that you gave it."""
    from modelmgmt.models.trust import keys

    keys.distrust_key(key)
    if as_json:
        print_json({"removed": key})
    else:
        click.echo(f"You do not trust {key} any more. What is loaded already stays loaded.")
    return DONE


def _own(key: Any) -> dict[str, Any]:
    return {"fingerprint": key.fingerprint, "algorithm": key.algorithm, "created_at": key.created_at}
