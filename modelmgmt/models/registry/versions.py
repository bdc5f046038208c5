"""A version of a model, as people get it: what it is, and what was found out and said about it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from modelmgmt.errors import InvalidTypeError, InvalidValueError, NotFoundError, printable
from modelmgmt.models.registry import promotion
from modelmgmt.models.registry.decisions import decide, last_of, of_model
from modelmgmt.models.registry.evidence import description_of, losses_bytes, needs_of
from modelmgmt.models.registry.gates import Condition
from modelmgmt.models.registry.history import Decision
from modelmgmt.models.registry.imported import Origin
from modelmgmt.models.registry.promotion import Expected
from modelmgmt.models.registry.rows import AliasRow, ApprovalRow, ModelRow, R, ResultRow, Tables, TagRow, VersionRow
from modelmgmt.models.registry.stages import Stages
from modelmgmt.store.names import among, check_name
from modelmgmt.store.rows import from_json
from modelmgmt.store.times import from_iso
from modelmgmt.tracking.labels import checked_note, checked_tags

if TYPE_CHECKING:
    from modelmgmt.models.packaging.needs import Needs
    from modelmgmt.store.kernel import Kernel


@dataclass(frozen=True, slots=True)
class Result:
    """What a scan or test said of a version; `passed` is None for losses, which have a `mean` and a `dataset`."""

    name: str
    passed: bool | None
    detail: Any
    mean: float | None
    dataset: str | None
    evidence_digest: str | None
    actor: str
    logged_at: datetime


@dataclass(frozen=True, slots=True)
class Approval:
    """Who has approved a version for which stage, why, and when (aware, UTC)."""

    stage: str
    actor: str
    reason: str
    approved_at: datetime


@dataclass(slots=True)
class View:
    """How much somebody has seen of a model: its events up to this number."""

    seen: int


class ModelVersion:
    """One version of a registered model. Its values are read when they are asked for, each row verified.

    >>> digest = Store()._kernel.objects.put_bytes(b"weights").digest
    >>> version = Store().models.register("churn", digest=digest, format="raw")
    >>> version.reference, version.stage
    ('churn:1', 'development')
    """

    def __init__(self, kernel: Kernel, row: VersionRow, view: View) -> None:
        self._kernel = kernel
        self._view = view
        self._row = row

    @property
    def _row_now(self) -> VersionRow:
        """Its row in the table `model_versions`, as it is now. Raises NotFoundError when it was deleted."""
        with self._kernel.database.reading() as connection:
            row = Tables(connection).find(VersionRow, self.model, self.number)
        if row is None:
            raise NotFoundError(f"The version {self.reference} was deleted.")
        return row

    @property
    def model(self) -> str:
        """The model's name."""
        return self._row.model

    @property
    def number(self) -> int:
        return self._row.number

    @property
    def reference(self) -> str:
        """`churn:3`."""
        return f"{self.model}:{self.number}"

    @property
    def run(self) -> str | None:
        """The id of the run that it comes from; None for one that was imported without it."""
        return self._row.run

    @property
    def artifact(self) -> str | None:
        """Its name in that run."""
        return self._row.artifact

    @property
    def digest(self) -> str:
        """Of the tree of its package."""
        return self._row.digest

    @property
    def format(self) -> str:
        return self._row.format

    @property
    def needs(self) -> Needs | None:
        """What a stranger needs to load it; None for what `log_model` did not make. The weights are looked at."""
        return needs_of(self._kernel, self.digest)

    @property
    def origin(self) -> Origin | None:
        """The bundle or the version that it was imported or copied from; None for one that was registered from a run."""
        return None if self._row.origin is None else Origin.decode(self._row.origin)

    @property
    def created_by(self) -> str:
        """The account that registered it."""
        return self._row.created_by

    @property
    def created_at(self) -> datetime:
        """When it was registered; aware, UTC."""
        return from_iso(self._row.created_at)

    @property
    def stage(self) -> str:
        return self._row_now.stage

    @property
    def entered(self) -> Decision | None:
        """The decision that put it in its stage: when, by whom, why. None where the log no longer has it.

        >>> digest = Store()._kernel.objects.put_bytes(b"weights").digest
        >>> version = Store().models.register("fraud", digest=digest, format="raw").promote("production", reason="first")
        >>> version.entered.kind, version.entered.reason
        ('promoted', 'first')
        """
        number = self._row_now.entered
        with self._kernel.database.reading() as connection:
            event = next(of_model(connection, self.model, after=number - 1), None)
        return Decision._of(event) if event is not None and event.id == number else None

    @property
    def description(self) -> str:
        return self._row_now.description

    @property
    def signature(self) -> Mapping[str, Any] | None:
        """The signature as the package describes it."""
        return description_of(self._kernel, self.digest).get("signature")

    @property
    def aliases(self) -> list[str]:
        """Its other names."""
        return [row.alias for row in self._select(AliasRow)]

    @property
    def tags(self) -> dict[str, str]:
        return {row.key: row.value for row in self._select(TagRow)}

    @property
    def results(self) -> dict[str, Result]:
        """What scans and tests said, by name."""
        return {row.name: _result(row) for row in self._select(ResultRow)}

    @property
    def approvals(self) -> list[Approval]:
        rows = self._select(ApprovalRow)
        return [Approval(row.stage, row.actor, row.reason, from_iso(row.approved_at)) for row in rows]

    def promote(self, to: str, *, reason: str = "", expected: Expected = "seen", force: bool = False) -> ModelVersion:
        """Move it to a stage; see `Model.promote`."""
        event = promotion.promote(
            self._kernel, self.model, self.number, to,
            reason=reason, seen=self._view.seen, expected=expected, force=force,
        )  # fmt: skip
        self._view.seen = event.id
        return self

    def check_policy(self, to: str) -> list[Condition]:
        """What the policy asks for before it may enter a stage, met or not. Decides nothing."""
        return promotion.ask(self._kernel, self.model, self.number, to)

    def approve(self, stage: str, reason: str) -> None:
        """Say that it may enter a stage. Survives a power cut.

        The name of the account is kept. It is a name, not a proof: whoever can write to the store's folder can write any.
        """
        reason = checked_note(reason)
        with self._kernel.database.writing(durable=True) as connection:
            owner = Tables(connection).find(ModelRow, self.model)
            Stages.decode(owner.stages if owner else Stages().encode()).check(stage)
            self._require(connection)
            detail = {"version": self.number, "stage": stage, "reason": reason}
            decide(connection, "model.approved", self.model, detail)

    def log_result(self, name: str, passed: Any, detail: Any = None) -> None:
        """Keep what a scan or test said; the same name again takes the new answer. Survives a power cut.

        `detail` is anything that JSON has. Raises InvalidTypeError, InvalidNameError.
        """
        if not isinstance(passed, bool) and type(passed).__name__ != "bool":  # numpy's is one, too
            raise InvalidTypeError(f"passed is True or False, and {type(passed).__name__} was given.")
        self._keep_result(name, passed=bool(passed), detail=_json(detail))

    def log_losses(self, name: str, losses: Any, *, dataset: Any) -> None:
        """Keep one loss per row of a dataset, `(n_rows,)`, smaller is better: what a policy's `no_worse` compares.

        `dataset` says which rows these are, in which order: a text, or a dataset version. Survives a power cut. Raises
        InvalidTypeError, InvalidValueError, InvalidNameError.
        """
        rows = check_name(getattr(dataset, "fingerprint", dataset), "dataset")
        data, mean = losses_bytes(losses)
        digest = self._kernel.objects.put_bytes(data).digest
        self._keep_result(name, mean=mean, dataset=rows, evidence=digest, detail={"rows": len(data) // 8})

    def set_tags(self, tags: Mapping[str, Any] | None = None, /, **more: Any) -> None:
        """Set tags; one that was there gets the new value. Survives a power cut."""
        kept = checked_tags({**(tags or {}), **more})
        self._decide("model.tagged", {"tags": kept})

    def remove_tag(self, key: str) -> None:
        """Remove a tag. Raises NotFoundError."""
        if key not in self.tags:
            raise NotFoundError(f"{self.reference} has no tag {key!r}; it has: {among(key, self.tags)}")
        self._decide("model.untagged", {"key": key})

    def set_description(self, text: str) -> None:
        """Say what it is. Survives a power cut."""
        self._decide("model.described", {"text": checked_note(text)})

    def history(self) -> list[Decision]:
        """Every decision that changed it, oldest first, also those about another version that displaced it or took its alias.

        `decision.changes[version.number]` says what each did to it. Brings the view of the model up to date, as
        `Model.history` does.
        """
        with self._kernel.database.reading() as connection:
            self._view.seen = last_of(connection, self.model)
            found = [Decision._of(event) for event in of_model(connection, self.model)]
        return [decision for decision in found if self.number in decision.changes]

    def card(self) -> str:
        """A page about it, in Markdown: where it comes from, what was measured, who has decided what."""
        from modelmgmt.models.registry.card import card

        return card(self._kernel, self._row_now)

    def _keep_result(
        self,
        name: str,
        *,
        passed: bool | None = None,
        mean: float | None = None,
        dataset: str | None = None,
        evidence: str | None = None,
        detail: Any = None,
    ) -> None:
        content = {"passed": passed, "mean": mean, "dataset": dataset, "evidence": evidence, "detail": detail}
        self._decide("model.result_logged", {"name": check_name(name, "result"), **content})

    def _decide(self, kind: str, detail: Mapping[str, Any]) -> None:
        with self._kernel.database.writing(durable=True) as connection:
            self._require(connection)
            decide(connection, kind, self.model, {"version": self.number, **detail})

    def _require(self, connection: Any) -> None:
        if Tables(connection).find(VersionRow, self.model, self.number) is None:
            raise NotFoundError(f"The version {self.reference} was deleted.")

    def _select(self, kind: type[R]) -> list[R]:
        with self._kernel.database.reading() as connection:
            return list(Tables(connection).select(kind, model=self.model, number=self.number))

    def __str__(self) -> str:
        return self.reference

    def __repr__(self) -> str:
        return printable(f"<ModelVersion {self.reference}, {self.format}>")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ModelVersion) and (self.reference, self.digest) == (other.reference, other.digest)

    def __hash__(self) -> int:
        return hash((self.reference, self.digest))


def _result(row: ResultRow) -> Result:
    passed = None if row.passed is None else bool(row.passed)
    detail = from_json("model_results.detail", row.detail, object)
    return Result(
        row.name, passed, detail, row.mean, row.dataset, row.evidence_digest, row.actor, from_iso(row.logged_at)
    )  # fmt: skip


def _json(detail: Any) -> Any:
    try:
        return json.loads(json.dumps(detail, allow_nan=False))
    except (TypeError, ValueError, RecursionError) as error:
        message = f"The detail of a result cannot be kept as JSON ({error}): use numbers, text, lists, mappings."
        raise (InvalidValueError if isinstance(error, ValueError) else InvalidTypeError)(message) from error
