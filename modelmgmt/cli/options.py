"""What every command shares: which store, and in what form to answer."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

import click

from modelmgmt.front import Store, existing_store
from modelmgmt.store.kernel import default_path
from modelmgmt.view.tables import Table, as_rich

F = TypeVar("F", bound=Callable[..., Any])

DONE, NO = 0, 1


def store_option(function: F) -> F:
    """--store PATH."""
    option = click.option(
        "--store", "store_path", metavar="PATH", help="The store's folder.", type=click.Path(path_type=Path)
    )
    return option(function)


def json_option(function: F) -> F:
    """--json."""
    return click.option("--json", "as_json", is_flag=True, help="Answer as JSON, for programs.")(function)


def open_store(path: Path | None) -> Store:
    """The store that is there: looking never makes one. Raises NotFoundError."""
    return existing_store(path if path is not None else default_path())


def confirmed(question: str) -> bool:
    """Ask at the terminal. Raises UsageError where nobody can answer."""
    try:
        return click.confirm(question, err=True)
    except click.Abort as error:
        if sys.stdin.isatty():
            raise
        raise click.UsageError("There is nobody to ask here: add --yes to do it.") from error


def print_json(content: object) -> None:
    """JSON on standard output; NaN and infinities, which JSON has not, become null and text."""
    click.echo(json.dumps(_plain(content), indent=2, ensure_ascii=False))


def print_table(table: Table) -> None:
    """A table as wide as the terminal."""
    from rich.console import Console

    console = Console(highlight=False)
    console.print(as_rich(table, console.width))


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else str(value)
    if isinstance(value, datetime):
        return value.isoformat()
    return value
