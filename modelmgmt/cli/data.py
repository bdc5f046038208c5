"""modelmgmt data: versions of data - list, show, compare, write out, and which runs used them."""

from __future__ import annotations

from dataclasses import asdict, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from modelmgmt.cli.groups import Group
from modelmgmt.cli.options import DONE, NO, json_option, open_store, print_json, print_table, store_option
from modelmgmt.versions.data.record import DatasetVersion


@click.group("data", cls=Group)
def command() -> None:
    """Versions of data that runs logged with log_dataset.

    \b
    modelmgmt data list
    modelmgmt data show train:3
    modelmgmt data diff train:2 train:3 --key id
    modelmgmt data save train:3 train.csv
    modelmgmt data runs train:3
    """


@command.command("list")
@click.argument("name", required=False)
@store_option
@json_option
def list_(name: str | None, store_path: Path | None, as_json: bool) -> int:
    """List the versions of every data set, or of NAME; exit code 1 when there are none."""
    from modelmgmt.view.data import versions_table

    store = open_store(store_path)
    every = store.datasets.all() if name is None else {name: store.datasets[name]}
    found = [version for history in every.values() for version in history]
    if as_json:
        print_json([_described(version) for version in found])
    else:
        print_table(versions_table(found, now=datetime.now(UTC)))
    return DONE if found else NO


@command.command("show")
@click.argument("version")
@store_option
@json_option
def show(version: str, store_path: Path | None, as_json: bool) -> int:
    """Show what VERSION (train:3, or train for the latest) holds: a profile of each column."""
    from modelmgmt.view.data import version_table

    found = open_store(store_path).dataset(version)
    if as_json:
        profile = found.profile
        columns = [asdict(column) for column in profile.columns]
        files = {path: {"size_bytes": size, "sha256": digest} for path, (size, digest) in profile.files.items()}
        print_json({**_described(found), "profile": columns, "files": files, "notes": profile.notes})
    else:
        print_table(version_table(found))
    return DONE


@command.command("diff")
@click.argument("a")
@click.argument("b")
@click.option("--key", "-k", metavar="COLUMN", multiple=True, help="Match rows by this column; may be repeated.")
@store_option
@json_option
def diff(a: str, b: str, key: tuple[str, ...], store_path: Path | None, as_json: bool) -> int:
    """Show what version B has that version A has not; exit code 1 when they differ."""
    from modelmgmt.view.data import data_diff_table

    store = open_store(store_path)
    found = store.dataset(a).diff(store.dataset(b), list(key) or None)
    if as_json:
        print_json({**found.to_dict(), "moved": [one.column for one in found.moved]})
    else:
        print_table(data_diff_table(found))
    return DONE if found.is_same else NO


@command.command("save")
@click.argument("version")
@click.argument("path", type=click.Path(path_type=Path))
@store_option
@json_option
def save(version: str, path: Path, store_path: Path | None, as_json: bool) -> int:
    """Write the content of VERSION to PATH: .csv, .parquet, .json, .npy or .npz by its suffix; files as they were."""
    found = open_store(store_path).dataset(version)
    written = found.save(path)
    if as_json:
        print_json({**_described(found), "path": str(written)})
    else:
        click.echo(written)
    return DONE


@command.command("runs")
@click.argument("version")
@store_option
@json_option
def runs(version: str, store_path: Path | None, as_json: bool) -> int:
    """List the runs that used VERSION."""
    from modelmgmt.cli.runs import describe
    from modelmgmt.view.tables import runs_table

    found = open_store(store_path).dataset(version).runs()
    if as_json:
        print_json([describe(run) for run in found])
    else:
        print_table(runs_table(found.to_frame(), now=datetime.now(UTC), max_rows=None))
    return DONE


def _described(version: DatasetVersion) -> dict[str, Any]:
    return {one.name: getattr(version, one.name) for one in fields(DatasetVersion)}
