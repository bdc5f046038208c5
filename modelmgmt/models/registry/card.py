"""A model card: one version on a page of Markdown. Reads, and writes nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from modelmgmt.errors import printable
from modelmgmt.models.lineage.rows import lineage
from modelmgmt.models.packaging.signature import signature_lines
from modelmgmt.models.registry.decisions import of_model
from modelmgmt.models.registry.evidence import description_of, needs_of
from modelmgmt.models.registry.history import Decision
from modelmgmt.models.registry.imported import Origin
from modelmgmt.models.registry.rows import AliasRow, ApprovalRow, ModelRow, ResultRow, Tables, TagRow, VersionRow
from modelmgmt.tracking import record as records
from modelmgmt.tracking.run import Run

if TYPE_CHECKING:
    from modelmgmt.store.kernel import Kernel


def card(kernel: Kernel, row: VersionRow) -> str:
    """The page. Sections that would be empty are left out."""
    with kernel.database.reading() as connection:
        rows = Tables(connection)
        owner = rows.find(ModelRow, row.model)
        run = None if row.run is None else Run(kernel, records.read(connection, row.run))
        aliases = [found.alias for found in rows.select(AliasRow, model=row.model, number=row.number)]
        tags = {found.key: found.value for found in rows.select(TagRow, model=row.model, number=row.number)}
        results = list(rows.select(ResultRow, model=row.model, number=row.number))
        approvals = list(rows.select(ApprovalRow, model=row.model, number=row.number))
        decisions = [
            decision
            for event in of_model(connection, row.model)
            if row.number in (decision := Decision._of(event)).changes
        ]
    description = description_of(kernel, row.digest)
    parts = [
        f"# {_text(row.model)}, version {row.number}",
        "\n\n".join(_text(text) for text in (owner.description if owner else "", row.description) if text),
        _table(("", ""), _about(kernel, row, aliases, tags)),
        _section("Where it comes from", _table(("", ""), _origin(kernel, run, row))),
        _section("Metrics", _table(("metric", "last value"), [] if run is None else list(run.metrics.items()))),
        _section("Params", _table(("param", "value"), [] if run is None else list(run.params.items()))),
        _section("Signature", _table(("column", "type"), _signature(description.get("signature") or {}))),
        _section("Results", _table(("result", "answer", "by", "when"), [_result(found) for found in results])),
        _section("Approvals", _table(("stage", "by", "why"), [(a.stage, a.actor, a.reason) for a in approvals])),
        _section(
            "Decisions", _table(("when", "by", "what", "why"), [_decision(each, row.number) for each in decisions])
        ),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _about(
    kernel: Kernel, row: VersionRow, aliases: Sequence[str], tags: Mapping[str, str]
) -> Iterator[tuple[str, str]]:
    yield "stage", row.stage
    if aliases:
        yield "aliases", ", ".join(aliases)
    yield "format", row.format
    yield "package", f"SHA-256 {row.digest}"
    needs = needs_of(kernel, row.digest)
    if needs is not None:
        yield "to load it", str(needs)
    is_imported = row.origin is not None and Origin.decode(row.origin).kind == "bundle"
    yield "imported" if is_imported else "registered", f"{row.created_at} by {row.created_by}"
    yield from ((f"tag {key}", value) for key, value in tags.items())


def _origin(kernel: Kernel, run: Run | None, row: VersionRow) -> Iterator[tuple[str, Any]]:
    yield from _imported(row)
    if run is None:
        return
    record = run._row_now
    yield "run", f"{record.experiment}/{record.name} ({record.id}), {record.true_status}"
    yield "artifact", row.artifact or ""
    yield "started", f"{record.started_at} by {record.user or 'unknown'} on {record.host}"
    yield "command", record.command
    found = lineage(kernel, f"run:{record.id}", "up")
    for edge in found.edges:
        if edge.end == f"run:{record.id}":
            node = found.nodes[edge.start]
            what = edge.role if edge.role == node.kind else f"{node.kind}, {edge.role}"
            yield what, node.id.partition(":")[2]


def _imported(row: VersionRow) -> Iterator[tuple[str, str]]:
    """What was seen when it was imported, and what the bundle and the package said."""
    if row.origin is None:
        return
    for step in Origin.decode(row.origin).steps():
        if step.kind == "version":
            yield "copied from", str(step.reference)
            continue
        yield "imported from", f"{step.file}, SHA-256 {step.digest}"
        yield "signed", step.signers().removeprefix("signed ")
        if step.reference is not None:
            yield "the bundle says", f"{step.reference} of the store {step.store}"
        if step.run:
            name = "/".join(step.run[key] for key in ("experiment", "name") if key in step.run)
            yield "the package says: run", f"{name} ({step.run.get('id')})"
        if step.code:
            changed = " with changes" if step.code["dirty"] else ""
            commit = step.code["commit"]
            yield "the package says: code", f"{commit}{changed}" if commit else f"snapshot {step.code['tree']}"
        for each in step.data:
            yield f"the package says: data, {each['role']}", f"{each['name']}, fingerprint {each['fingerprint']}"
        if step.environment is not None:
            yield "the package says: environment", step.environment


def _signature(signature: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    yield from signature_lines(signature).items()


def _result(found: ResultRow) -> tuple[str, ...]:
    answer = (
        f"mean loss {found.mean:.6g} on {found.dataset}"
        if found.mean is not None
        else "passed"
        if found.passed
        else "failed"
    )
    return found.name, answer, found.actor, found.logged_at


def _decision(decision: Decision, number: int) -> tuple[str, ...]:
    when = f"{decision.time:%Y-%m-%d %H:%M:%S}"
    return when, decision.actor, decision.changes[number], decision.reason


def _section(title: str, body: str) -> str:
    return f"## {title}\n\n{body}" if body else ""


def _table(heads: Sequence[str], rows: Any) -> str:
    lines = [f"| {' | '.join(_text(str(cell)) for cell in row)} |" for row in rows]
    if not lines:
        return ""
    return "\n".join([f"| {' | '.join(heads)} |", f"|{' --- |' * len(heads)}", *lines])


def _text(text: str) -> str:
    """Text from outside: one line, and nothing in it is read as Markdown or HTML."""
    line = " ".join(printable(text).split())
    line = line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return "".join(f"\\{char}" if char in "\\`*_[]|#!" else char for char in line)
