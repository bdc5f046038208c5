"""modelmgmt reproduce: do a run again, and say whether it came out the same."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from modelmgmt.cli.options import DONE, NO, json_option, open_store, print_json, print_table, store_option

if TYPE_CHECKING:
    from modelmgmt.tracking.reproduce import Reproduction


@click.command("reproduce")
@click.argument("run")
@click.option("--into", type=click.Path(path_type=Path), help="A new folder for code and data; else a temporary one.")
@click.option(
    "--from-folder", type=click.Path(path_type=Path), help="Run the code as it is now in this copy of the project."
)
@click.option("--install", is_flag=True, help="Build the recorded environment first.")
@click.option("--tolerance", type=float, default=0.0, metavar="REL", help="The relative difference that is allowed.")
@click.option("--metric", "-m", "keys", multiple=True, metavar="KEY", help="Compare only this metric; may be repeated.")
@store_option
@json_option
def command(
    run: str,
    into: Path | None,
    from_folder: Path | None,
    install: bool,
    tolerance: float,
    keys: tuple[str, ...],
    store_path: Path | None,
    as_json: bool,
) -> int:
    """Do RUN again: its code, data, command and seeds, as a new run; then compare them metric by metric.

    Exits with 0 when every metric is equal or within the tolerance, with 1 when not, with 2 when it could not be done.

    \b
    modelmgmt reproduce calm-otter-17
    modelmgmt reproduce calm-otter-17 --tolerance 1e-6 --into again
    modelmgmt reproduce calm-otter-17 --from-folder .     what has changed since?
    """
    from modelmgmt.tracking.reproduce import reproduce

    found = reproduce(
        open_store(store_path).run(run), into=into, from_folder=from_folder, install=install, tolerance=tolerance,
        keys=keys, output=sys.stderr.fileno(),
    )  # fmt: skip
    if as_json:
        print_json(_plain(found))
    else:
        _print(found)
    return DONE if found.is_reproduced else NO


def _plain(found: Reproduction) -> dict[str, object]:
    from dataclasses import asdict

    return {**asdict(found), "folder": str(found.folder), "is_reproduced": found.is_reproduced}


def _print(found: Reproduction) -> None:
    from modelmgmt.view.details import reproduction_table
    from modelmgmt.view.text import clean

    click.echo(f"{found.folder}: {shlex.join(found.command)}")
    for note in found.notes:
        click.echo(f"  {clean(note, 300)}")
    print_table(reproduction_table(found))
    for cause in found.causes:
        click.echo(f"{cause.kind}: {clean(cause.detail, 300)}")
    verdict = "is reproduced" if found.is_reproduced else "is not reproduced"
    click.echo(f"The run {found.run} {verdict} by {found.new_run}.")
