"""modelmgmt run: show one run."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from modelmgmt.cli.options import DONE, json_option, open_store, print_json, print_table, store_option
from modelmgmt.cli.runs import describe
from modelmgmt.front import Run
from modelmgmt.tracking.artifacts import Artifact
from modelmgmt.tracking.table_file import records


@click.command("run")
@click.argument("run")
@click.option("--metric", "-m", metavar="KEY", help="Print the points of one metric: step, value, time.")
@click.option("--artifact", "-a", metavar="NAME", help="Print one artifact, a table as a table; its bytes into a pipe.")
@click.option("--output", metavar="PATH", type=click.Path(path_type=Path), help="Write --artifact there, byte by byte.")
@store_option
@json_option
def command(
    run: str, metric: str | None, artifact: str | None, output: Path | None, store_path: Path | None, as_json: bool
) -> int:
    """Show all about RUN: an id, the beginning or end of one, or a name.

    \b
    modelmgmt run calm-otter-17
    modelmgmt run calm-otter-17 --metric loss
    modelmgmt run calm-otter-17 --artifact roc.png --output roc.png
    """
    found = open_store(store_path).run(run)
    if metric is not None:
        _print_metric(found, metric, as_json=as_json)
    elif artifact is not None:
        _write_artifact(found.artifact(artifact), output, as_json=as_json)
    elif as_json:
        print_json(_whole(found))
    else:
        from modelmgmt.view.details import run_table

        print_table(run_table(found))
    return DONE


def _whole(run: Run) -> dict[str, Any]:
    artifacts = {
        name: {"kind": kept.kind, "digest": kept.digest, "size_bytes": kept.size}
        for name, kept in run.artifacts.items()
    }
    data = [
        {"role": role, "name": version.name, "number": version.number, "fingerprint": version.fingerprint}
        for role, versions in run.datasets_by_role().items()
        for version in versions
    ]
    return {
        **describe(run),
        "data": data,
        "summaries": {key: asdict(summary) for key, summary in run.summaries.items()},
        "artifacts": artifacts,
        "notes": [asdict(note) for note in run.notes],
        "error": run.error,
        "command": run.record.command,
        "user": run.record.user,
    }


def _print_metric(run: Run, metric: str, *, as_json: bool) -> None:
    series = run.series(metric)
    if as_json:
        times = [f"{time}Z" for time in series.times]
        rows = zip(series.steps.tolist(), series.points.values.tolist(), times, strict=True)
        print_json([{"step": step, "value": value, "time": time} for step, value, time in rows])
    else:
        click.echo(series.to_frame().to_string(index=False))


def _write_artifact(kept: Artifact, output: Path | None, *, as_json: bool) -> None:
    if output is not None:
        path = str(kept.save(output))
        print_json({"path": path}) if as_json else click.echo(path)
    elif as_json:
        print_json(_content(kept))
    elif kept.kind == "table" and sys.stdout.isatty():
        from modelmgmt.view.details import frame_table

        print_table(frame_table(kept.load()))
    else:
        sys.stdout.buffer.write(kept.read_bytes())


def _content(kept: Artifact) -> Any:
    """Text as text, a dict as it is, a table as one object a row. Raises UsageError for what JSON has no form for."""
    if kept.kind not in ("text", "dict", "table"):
        raise click.UsageError(f"The artifact {kept.name!r} is a {kept.kind}, and JSON has none: use --output PATH.")
    content = kept.load()
    return records(content) if kept.kind == "table" else content
