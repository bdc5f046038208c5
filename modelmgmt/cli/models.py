"""modelmgmt models: one file per subcommand, `cli/models_NAME.py`, loaded when it is used."""

from __future__ import annotations

import click

from modelmgmt.cli.groups import LazyGroup

COMMANDS = {
    "list": "List models, or the versions that are searched for.",
    "show": "Show a model or a version; its card.",
    "register": "Make a version of a model that a run has logged.",
    "promote": "Move a version to a stage, if the policy is met.",
    "rollback": "Bring back who was in a stage before.",
    "archive": "Put a version out of use.",
    "approve": "Say that a version may enter a stage.",
    "policy": "Show or set what a stage asks for.",
    "history": "Show every decision about a model.",
    "at": "Show who was in which stage at a time.",
    "compare": "Show what differs between two versions.",
    "alias": "Give a version another name.",
    "tag": "Set tags and descriptions.",
    "export": "Write a model for others: a bundle, an MLflow folder, an ONNX graph.",
    "import": "Take in a bundle of another store.",
    "inspect": "Look into a model or a file: what it would import and call.",
    "trust": "Show and change whose executable models are loaded.",
    "delete": "Delete a version, or a model, for real.",
}


class _Group(LazyGroup):
    COMMANDS = COMMANDS
    FILES = "modelmgmt.cli.models_"


@click.group("models", cls=_Group)
def command() -> None:
    """Registered models: versions, stages, aliases, decisions.

    \b
    modelmgmt models list
    modelmgmt models show churn
    modelmgmt models promote churn:3 production --reason "better on the holdout"
    modelmgmt models rollback churn production --reason "complaints"
    """
