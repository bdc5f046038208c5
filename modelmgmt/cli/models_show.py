"""modelmgmt models show: all about a model or one of its versions."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from modelmgmt.cli.models_list import describe_model, describe_version
from modelmgmt.cli.options import DONE, json_option, open_store, print_json, print_table, store_option
from modelmgmt.front import Store
from modelmgmt.models.registry.comparing import signature_lines


@click.command("show")
@click.argument("reference")
@click.option("--card", is_flag=True, help="Print the version's model card, in Markdown.")
@store_option
@json_option
def command(reference: str, card: bool, store_path: Path | None, as_json: bool) -> int:
    """Show a model, or the version that REFERENCE leads to.

    \b
    modelmgmt models show churn
    modelmgmt models show churn@production
    modelmgmt models show churn:3 --card
    """
    store = open_store(store_path)
    if reference in store.models:
        found = _model(store, reference)
    else:
        version = store.models.version(reference)
        if card:
            click.echo(version.card(), nl=False)
            return DONE
        found = _version(store, version)
    if as_json:
        print_json(found)
    else:
        from modelmgmt.view.models import facts_table

        if "signature" in found:
            found["signature"] = signature_lines(found["signature"] or {})
        found["created_at"] = f"{found['created_at'][:16].replace('T', ' ')} UTC"
        print_table(facts_table(found))
    return DONE


def _model(store: Store, name: str) -> dict[str, Any]:
    model = store.models[name]
    stages = model.stages
    return {
        **describe_model(store, name),
        "stages": list(stages.names),
        "hold one version": list(stages.single),
        "transitions": "any" if stages.transitions is None else {key: list(v) for key, v in stages.transitions.items()},
        "policy": {stage: rule.to_dict() for stage, rule in model.policy.items()},
        "created_at": model.row.created_at,
        "created_by": model.created_by,
    }


def _version(store: Store, version: Any) -> dict[str, Any]:
    results = {name: {**asdict(result), "logged_at": result.logged_at} for name, result in version.results.items()}
    return {
        **describe_version(version),
        "metrics": {} if version.run is None else store.run(version.run).metrics,
        "signature": version.signature,
        "results": results,
        "approvals": [asdict(approval) for approval in version.approvals],
    }
