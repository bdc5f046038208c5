"""A registered model, as people get it: its versions, who is where, and every decision about it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, ClassVar

from modelmgmt.errors import InvalidTypeError, InvalidValueError, NotFoundError, printable
from modelmgmt.models.registry import policy as policies
from modelmgmt.models.registry import promotion
from modelmgmt.models.registry.decisions import decide, last_of, of_model
from modelmgmt.models.registry.history import Decision, Moment, moment_at
from modelmgmt.models.registry.naming import check_label
from modelmgmt.models.registry.policy import Rule, checked_rule
from modelmgmt.models.registry.projection import detail_of
from modelmgmt.models.registry.promotion import Expected
from modelmgmt.models.registry.reference import Reference, find_version, in_place, no_model
from modelmgmt.models.registry.rows import AliasRow, ModelRow, Tables, TagRow, VersionRow
from modelmgmt.models.registry.stages import Stages, checked_stages
from modelmgmt.models.registry.versions import ModelVersion, View
from modelmgmt.store.names import among, counted
from modelmgmt.store.times import from_iso
from modelmgmt.tracking.labels import checked_note, checked_tags

if TYPE_CHECKING:
    import pandas as pd

    from modelmgmt.models.registry.deletion import DeletedVersions, Refuse
    from modelmgmt.store.kernel import Kernel
    from modelmgmt.tracking.comparison import Comparison


class Model:
    """A registered model: `store.models["churn"]`.

    It remembers how much of the model's history has been seen through it. A decision is based on that: when somebody else
    has decided since on the same stage or version, it is refused with ConflictError. Looking brings it up to date:
    `refresh`, `versions`, `model[...]`, `current`, `as_of`, `history`.

    >>> digest = Store()._kernel.objects.put_bytes(b"weights").digest
    >>> for _ in range(2):
    ...     version = Store().models.register("churn", digest=digest, format="raw")
    >>> churn = Store().models["churn"]
    >>> for number in (1, 2):
    ...     _ = churn.promote(number, "production", reason="it is better")
    >>> churn["production"], churn.rollback("production", reason="it was not")
    (<ModelVersion churn:2, raw>, <ModelVersion churn:1, raw>)
    """

    _version_type: ClassVar[type[ModelVersion]] = ModelVersion

    def __init__(self, kernel: Kernel, name: str, refusals: Sequence[Refuse] = ()) -> None:
        self._kernel = kernel
        self._refusals = refusals
        self.name = name
        self._view = View(0)
        self.refresh()

    # ----------------------------------------------------------------------------------------- looking

    def refresh(self) -> None:
        """Look again: decisions from now on are based on what is in the store now. Raises NotFoundError."""
        with self._kernel.database.reading() as connection:
            self._find(connection)
            self._view.seen = last_of(connection, self.name)

    @property
    def _row_now(self) -> ModelRow:
        """Its row in the table `models`."""
        with self._kernel.database.reading() as connection:
            return self._find(connection)

    @property
    def description(self) -> str:
        return self._row_now.description

    @property
    def created_at(self) -> datetime:
        """Aware, UTC."""
        return from_iso(self._row_now.created_at)

    @property
    def created_by(self) -> str:
        return self._row_now.created_by

    @property
    def stages(self) -> Stages:
        """Which stages there are."""
        return Stages.decode(self._row_now.stages)

    @property
    def policy(self) -> dict[str, Rule]:
        """What must hold before a version may enter a stage, by stage."""
        return policies.decode(self._row_now.policy)

    @property
    def tags(self) -> dict[str, str]:
        """The tags of the model itself; its versions have their own."""
        with self._kernel.database.reading() as connection:
            return {row.key: row.value for row in Tables(connection).select(TagRow, model=self.name, number=0)}

    @property
    def aliases(self) -> dict[str, int]:
        """Alias -> number of a version."""
        with self._kernel.database.reading() as connection:
            return {row.alias: row.number for row in Tables(connection).select(AliasRow, model=self.name)}

    @property
    def versions(self) -> list[ModelVersion]:
        """All versions, oldest first."""
        with self._kernel.database.reading() as connection:
            self._view.seen = last_of(connection, self.name)
            found = list(Tables(connection).select(VersionRow, model=self.name))
        return [self._version_type(self._kernel, row, self._view) for row in found]

    def current(self, stage: str) -> int | None:
        """The number of the version that entered a stage last and is still there, or None.

        Raises InvalidValueError for no stage of the model.
        """
        with self._kernel.database.reading() as connection:
            Stages.decode(self._find(connection).stages).check(stage)
            self._view.seen = last_of(connection, self.name)
            return in_place(Tables(connection), self.name, stage)

    def in_stage(self, stage: str) -> list[ModelVersion]:
        """The versions in a stage, the one that entered last first. Raises InvalidValueError for no stage of the model."""
        with self._kernel.database.reading() as connection:
            Stages.decode(self._find(connection).stages).check(stage)
            self._view.seen = last_of(connection, self.name)
            found = list(
                Tables(connection).select(VersionRow, "entered DESC, number DESC", model=self.name, stage=stage)
            )
        return [self._version_type(self._kernel, row, self._view) for row in found]

    def __getitem__(self, which: int | str) -> ModelVersion:
        """A version by number, stage, alias, or "latest". Raises NotFoundError."""
        if isinstance(which, bool) or not isinstance(which, (int, str)):
            raise InvalidTypeError(f"A version is a number, a stage or an alias: {type(which).__name__} was given.")
        label = which if isinstance(which, str) else None
        reference = Reference(self.name, number=int(which) if label is None else None, label=label)
        with self._kernel.database.reading() as connection:
            self._view.seen = last_of(connection, self.name)
            return self._version_type(self._kernel, find_version(connection, reference), self._view)

    def __iter__(self) -> Iterator[ModelVersion]:
        return iter(self.versions)

    def __len__(self) -> int:
        with self._kernel.database.reading() as connection:
            sql = "SELECT count(*) FROM model_versions WHERE model = ?"
            return int(connection.execute(sql, (self.name,)).fetchone()[0])

    def __bool__(self) -> bool:
        return True

    def history(self, kind: str | None = None) -> list[Decision]:
        """Every decision, oldest first; of one kind, as "promoted" or "refused"."""
        with self._kernel.database.reading() as connection:
            self._view.seen = last_of(connection, self.name)
            found = [Decision._of(event) for event in of_model(connection, self.name)]
        return [decision for decision in found if kind in (None, decision.kind)]

    def as_of(self, time: datetime | str | None = None) -> Moment:
        """Who was in which stage then, and what the aliases were: from the events, whatever became of the rows since.

        `time` is aware, or ISO text with an offset, as "2026-01-31T12:00:00Z"; None is now. What counts is everything up
        to the last event that is not later. Raises NotFoundError when the model was not there yet.
        """
        with self._kernel.database.reading() as connection:
            if time is None:
                self._view.seen = last_of(connection, self.name)
            return moment_at(list(of_model(connection, self.name)), self.name, time)

    def compare(self, a: int | str, b: int | str) -> Comparison:
        """What differs between two versions: signature, results, and everything that differs between their runs."""
        from modelmgmt.models.registry.comparing import compare

        return compare(self._kernel, self[a], self[b])

    def check_policy(self, version: int | str, to: str) -> list[Any]:
        """What the policy asks for before a version may enter a stage, met or not. Decides nothing."""
        return self[version].check_policy(to)

    def to_frame(self) -> pd.DataFrame:
        """One row a version, indexed by number: stage, aliases, format, run, created_at, created_by, digest, tags.*."""
        from modelmgmt.models.registry.history import versions_frame

        with self._kernel.database.reading() as connection:
            return versions_frame(connection, self.name)

    # ----------------------------------------------------------------------------------------- deciding

    def promote(
        self,
        version: int | str | ModelVersion,
        to: str,
        *,
        reason: str = "",
        expected: Expected = "seen",
        force: bool = False,
    ) -> ModelVersion:
        """Move a version to a stage. If the stage holds one version, the current one moves to the last stage.

        Compare-and-set: refused with ConflictError when, since this object looked, somebody else has moved the version,
        or changed who is in that stage. With `expected` the caller says instead which version is in the stage (None:
        nobody). A version that does not meet the policy is refused with GateError, and the refusal is kept as an event;
        `force` lets it in all the same, with a reason, and the event says what was not met. Survives a power cut.

        A stage that asks for versions that load, as `production` does without any policy, loads the version first, from
        its bytes and under your trust: that takes the time and memory of `load_model`, and `force` leaves it out.
        """
        number = self._number(version)
        event = promotion.promote(
            self._kernel, self.name, number, to,
            reason=reason, seen=self._view.seen, expected=expected, force=force,
        )  # fmt: skip
        return self._decided(event.id, number)

    def rollback(
        self, stage: str, *, reason: str = "", expected: Expected = "seen", force: bool = False
    ) -> ModelVersion:
        """Bring back who was in a stage before; again, one further back. Survives a power cut.

        Of the policy only one thing is asked again: that the version loads, where the stage asks for that. `force`, with a
        reason, leaves it out, and the event says so. Raises GateError for a version that does not load, ConflictError as
        `promote` does, InvalidValueError when there is nobody to bring back.
        """
        event = promotion.roll_back(
            self._kernel, self.name, stage, reason=reason, seen=self._view.seen, expected=expected, force=force
        )
        return self._decided(event.id, detail_of(event)["version"])

    def archive(self, version: int | str | ModelVersion, *, reason: str = "") -> ModelVersion:
        """Move a version to the last stage. Survives a power cut. Raises ConflictError as `promote` does."""
        number = self._number(version)
        event = promotion.archive(self._kernel, self.name, number, reason=reason, seen=self._view.seen)
        return self._decided(event.id, number)

    def set_alias(self, alias: str, version: int | str | ModelVersion, *, reason: str = "") -> None:
        """Give a version another name; an alias that is there moves to it. Survives a power cut."""
        check_label(alias, "alias")
        number, reason = self._number(version), checked_note(reason)
        with self._kernel.database.writing(durable=True) as connection:
            owner, rows = self._find(connection), Tables(connection)
            if alias.casefold() in {name.casefold() for name in Stages.decode(owner.stages).names}:
                raise InvalidValueError(
                    f"{alias!r} is a stage of {self.name}: promote the version, or choose another alias."
                )
            if rows.find(VersionRow, self.name, number) is None:
                raise NotFoundError(f"{self.name} has no version {number}.")
            before = rows.find(AliasRow, self.name, alias)
            detail = {"alias": alias, "version": number, "was": before.number if before else None, "reason": reason}
            decide(connection, "model.aliased", self.name, detail)

    def remove_alias(self, alias: str, *, reason: str = "") -> None:
        """Take a name away. Survives a power cut. Raises NotFoundError."""
        reason = checked_note(reason)
        with self._kernel.database.writing(durable=True) as connection:
            found = Tables(connection).find(AliasRow, self.name, alias)
            if found is None:
                raise NotFoundError(f"{self.name} has no alias {alias!r}; it has: {among(alias, self.aliases)}")
            detail = {"alias": alias, "version": found.number, "reason": reason}
            decide(connection, "model.unaliased", self.name, detail)

    def set_policy(
        self,
        stage: str,
        *,
        results: Sequence[str] = (),
        metrics: Mapping[str, tuple[float | None, float | None]] | None = None,
        no_worse: Mapping[str, float] | None = None,
        confidence: float = 0.95,
        signature: str = "any",
        approvals: int = 0,
        loadable: bool | None = None,
        reason: str = "",
    ) -> None:
        """Set what must hold before a version may enter a stage, in place of what was asked before. Survives a power cut.

        `results`: names of scans and tests that must have passed (`log_result`). `metrics`: name -> (at least, at most) of
        the run's last value. `no_worse`: name of losses (`log_losses`) -> margin: the mean loss may be at most that much
        worse than that of the current version on the same rows, at the far end of the interval of the mean difference;
        `confidence` is that interval's. `signature="compatible"`: callers of the current version need
        no change. `approvals`: how many people other than the author must approve. `loadable`: whether the machine that
        promotes or rolls back must load the version; None is yes for `production`, and no for other stages. A stage alone
        asks for nothing else any more.
        """
        rule = checked_rule(
            results=results, metrics=metrics or {}, no_worse=no_worse or {}, confidence=confidence, signature=signature,
            approvals=approvals, loadable=loadable,
        )  # fmt: skip
        reason = checked_note(reason)
        with self._kernel.database.writing(durable=True) as connection:
            owner = self._find(connection)
            Stages.decode(owner.stages).check(stage)
            policy = {**policies.decode(owner.policy), stage: rule}
            kept = policies.encode({key: asked for key, asked in policy.items() if asked != Rule()})
            detail = {"stage": stage, "policy": kept, "was": owner.policy, "reason": reason}
            decide(connection, "model.policy_set", self.name, detail)

    def set_stages(
        self,
        names: Sequence[str] | None = None,
        *,
        single: Sequence[str] | None = None,
        transitions: Mapping[str, Sequence[str]] | None = None,
        reason: str = "",
    ) -> None:
        """Give the model stages of its own; see `Stages`. Survives a power cut.

        Raises InvalidValueError when versions, aliases or the policy stand in the way, and says which.
        """
        stages, reason = checked_stages(names, single, transitions), checked_note(reason)
        with self._kernel.database.writing(durable=True) as connection:
            owner = self._find(connection)
            _refuse_stages(connection, owner, stages)
            detail = {"stages": stages.encode(), "was": owner.stages, "reason": reason}
            decide(connection, "model.stages_set", self.name, detail)

    def set_tags(self, tags: Mapping[str, Any] | None = None, /, **more: Any) -> None:
        """Set tags of the model itself. Survives a power cut."""
        self._decide("model.tagged", {"version": 0, "tags": checked_tags({**(tags or {}), **more})})

    def remove_tag(self, key: str) -> None:
        """Remove a tag of the model itself. Raises NotFoundError."""
        if key not in self.tags:
            raise NotFoundError(f"{self.name} has no tag {key!r}; it has: {among(key, self.tags)}")
        self._decide("model.untagged", {"version": 0, "key": key})

    def set_description(self, text: str) -> None:
        """Say what the model is for. Survives a power cut."""
        self._decide("model.described", {"version": 0, "text": checked_note(text)})

    def delete(self, version: int | str | ModelVersion, *, reason: str = "", force: bool = False) -> DeletedVersions:
        """Delete a version for real: its rows, its losses, and its package unless a run or another version has it too.

        An event remains that says so; its number is not given again. Refused with PinnedError while it is in a stage
        between the first and the last, has an alias, its run is pinned, or predictions of it are kept; `force` deletes it all
        the same.
        """
        from modelmgmt.models.registry.deletion import delete_versions

        number = self._number(version)
        return delete_versions(self._kernel, self.name, number, reason=reason, force=force, refusals=self._refusals)

    # ----------------------------------------------------------------------------------------- within

    def _find(self, connection: sqlite3.Connection) -> ModelRow:
        row = Tables(connection).find(ModelRow, self.name)
        if row is None:
            raise no_model(connection, self.name)
        return row

    def _number(self, version: int | str | ModelVersion) -> int:
        """Without looking: the decision rests on what was seen before."""
        if isinstance(version, ModelVersion):
            if version.model != self.name:
                raise InvalidValueError(f"{version.reference} is not a version of {self.name}.")
            return version.number
        if isinstance(version, int) and not isinstance(version, bool):
            return version
        if not isinstance(version, str):
            raise InvalidTypeError(f"A version is a number, a stage or an alias: {type(version).__name__} was given.")
        with self._kernel.database.reading() as connection:
            return find_version(connection, Reference(self.name, label=version)).number

    def _decided(self, event: int, number: int) -> ModelVersion:
        self._view.seen = event
        with self._kernel.database.reading() as connection:
            row = find_version(connection, Reference(self.name, number=number))
        return self._version_type(self._kernel, row, self._view)

    def _decide(self, kind: str, detail: Mapping[str, Any]) -> None:
        with self._kernel.database.writing(durable=True) as connection:
            self._find(connection)
            decide(connection, kind, self.name, detail)

    def __repr__(self) -> str:
        return printable(f"<Model {self.name}: {self.summary()}>")

    def summary(self) -> str:
        """How many versions there are and which are in use, in one line: "4 versions, production 3, staging 2 and 4"."""
        count = len(self)
        occupied = {
            stage: [str(version.number) for version in self.in_stage(stage)] for stage in self.stages.names[1:-1]
        }
        parts = [
            f"{stage} {' and '.join([*numbers[:2], *([f'{len(numbers) - 2:,} more'] if numbers[2:] else [])])}"
            for stage, numbers in reversed(occupied.items())
            if numbers
        ]
        return ", ".join([counted(count, "version") if count else "no versions", *parts])

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Model) and (self.name, self._kernel) == (other.name, other._kernel)

    def __hash__(self) -> int:
        return hash((self.name, id(self._kernel)))


def _refuse_stages(connection: sqlite3.Connection, owner: ModelRow, stages: Stages) -> None:
    sql = "SELECT stage, count(*) FROM model_versions WHERE model = ? GROUP BY stage"
    for stage, count in connection.execute(sql, (owner.name,)):
        if stage not in stages.names:
            raise InvalidValueError(
                f"{counted(count, 'version is', 'versions are')} in {stage}, which would no longer be a stage: "
                "move them first."
            )
        if stage in stages.single and count > 1:
            raise InvalidValueError(
                f"{count:,} versions are in {stage}, which would hold one version only: move the others first."
            )
    folded = {name.casefold() for name in stages.names}
    for row in Tables(connection).select(AliasRow, model=owner.name):
        if row.alias.casefold() in folded:
            raise InvalidValueError(
                f"{row.alias!r} is an alias of version {row.number}: a stage cannot have the same name."
            )
    for stage in policies.decode(owner.policy):
        if stage not in stages.names:
            raise InvalidValueError(f"The stage {stage} has a policy: clear it first, with set_policy({stage!r}).")
