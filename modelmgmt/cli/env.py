"""modelmgmt env: the environment of a run."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from modelmgmt.cli.options import DONE, NO, json_option, open_store, print_json, store_option
from modelmgmt.errors import NotFoundError
from modelmgmt.front import Run, Store
from modelmgmt.versions.environment import Environment


@click.command("env")
@click.argument("run")
@click.option("--requirements", is_flag=True, help="Print a requirements.txt.")
@click.option("--pylock", is_flag=True, help="Print a pylock.toml; needs uv, and asks the package index.")
@click.option("--diff", "other", metavar="OTHER", help="Print what differs in the environment of another run.")
@store_option
@json_option
def command(
    run: str, requirements: bool, pylock: bool, other: str | None, store_path: Path | None, as_json: bool
) -> int:
    """Show the environment of RUN: Python, platform, hardware, every installed distribution.

    \b
    modelmgmt env calm-otter-17
    modelmgmt env calm-otter-17 --requirements > requirements.txt
    modelmgmt env calm-otter-17 --diff keen-fox-18
    """
    if sum((requirements, pylock, other is not None)) > 1:
        raise click.UsageError("Of --requirements, --pylock and --diff give one.")
    store = open_store(store_path)
    found = _environment(store, run)
    if other is not None:
        return _print_diff(found, _environment(store, other), as_json=as_json)
    if requirements:
        click.echo(found.requirements(), nl=False)
    elif pylock:
        click.echo(found.pylock(), nl=False)
    elif as_json:
        print_json(found.to_dict())
    else:
        _print(found)
    return DONE


def _environment(store: Store, reference: str) -> Environment:
    run: Run = store.run(reference)
    found = run.environment
    if found is None:
        raise NotFoundError(f"The environment of the run {run.name} ({run.id}) was not captured.")
    return found


def _print(environment: Environment) -> None:
    about = {"python": environment.python, **environment.platform, **environment.hardware}
    for key, value in about.items():
        text = ", ".join(value) or "none" if isinstance(value, list) else value
        click.echo(f"{key:<16}{text}")
    click.echo(f"{'distributions':<16}{len(environment.distributions)}")
    for each in environment.distributions:
        click.echo(f"  {each.name}=={each.version}{f'  from {each.origin}' if each.origin else ''}")


def _print_diff(a: Environment, b: Environment, *, as_json: bool) -> int:
    """Exits with 1 when they differ, as diff does."""
    changes = a.diff(b)
    if as_json:
        print_json([asdict(change) for change in changes])
    for change in () if as_json else changes:
        click.echo(f"{change.section:<14}{change.name}: {_text(change.before)} -> {_text(change.after)}")
    return NO if changes else DONE


def _text(value: object) -> str:
    return "none" if value is None else str(value)
