"""modelmgmt models export: a model as a bundle, an MLflow folder or an ONNX graph."""

from __future__ import annotations

from pathlib import Path

import click

from modelmgmt.cli.options import DONE, json_option, open_store, print_json, store_option
from modelmgmt.models.exports import KINDS


@click.command("export")
@click.argument("reference")
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--as", "kind", type=click.Choice(KINDS), default="bundle", show_default=True, help="In which form.")
@click.option("--trust", is_flag=True, help="Run the model's own code where converting it needs that.")
@store_option
@json_option
def command(reference: str, path: Path, kind: str, trust: bool, store_path: Path | None, as_json: bool) -> int:
    """Write the model REFERENCE (churn:3, churn@production, run:ID/NAME) to the new file or folder PATH."""
    written = open_store(store_path).export_model(reference, path, kind, trust=trust or None)  # type: ignore[arg-type]
    if as_json:
        print_json({"path": str(written.resolve()), "kind": kind})
    else:
        click.echo(f"{written}: {reference} as {kind}.")
    return DONE
