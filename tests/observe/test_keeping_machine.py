"""Two stores that log, fold, delete and take in each other, in any order: each has what it should, once."""

from __future__ import annotations

import shutil
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from observe_tools import register

import modelmgmt as mm
from modelmgmt.observe import folding, freeing

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
which = st.sampled_from([0, 1])
minutes = st.integers(0, 20)


def at(minute):
    return BEGIN + timedelta(minutes=minute)


class Keeping(RuleBasedStateMachine):
    def __init__(self):
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        first = mm.Store(self.folder / "first")
        register(first)
        self.stores = [first, mm.Store(first.backup(self.folder / "second"))]
        self.monitors = [store.monitor("churn:1") for store in self.stores]
        self.wanted = [{}, {}]  # (id, minute, value) by batch and place
        self.cut = [-1, -1]
        self.erased = [set(), set()]  # of the same
        self.patience, freeing.NAMED_WITHIN_S = freeing.NAMED_WITHIN_S, 0.0
        self.count = 0

    @rule(which=which, minute=minutes, rows=st.integers(1, 4), has_ids=st.booleans(), schema=st.integers(0, 2))
    def log(self, which, minute, rows, has_ids, schema):
        said = [self.count * 10 + place for place in range(rows)]
        asked = [None, [{"a": 0.5}] * rows, [{"a": "x", "b": None}] * rows][schema]
        self.count += 1
        ids = [f"id {one}" for one in said] if has_ids else None
        batch = self.monitors[which].log(asked, said, ids, at=at(minute))
        self.wanted[which] |= {
            (batch.id, place): (batch.ids[place], minute, one) for place, one in enumerate(said)
        }  # fmt: skip

    @rule(which=which)
    def fold(self, which):
        folding.fold(self.stores[which]._kernel, 2, 1 << 30)

    @rule(which=which, minute=minutes)
    def delete(self, which, minute):
        deleted = self.monitors[which].delete(at(minute))
        kept = {key: one for key, one in self.wanted[which].items() if one[1] >= minute}
        assert deleted.predictions == len(self.wanted[which]) - len(kept)
        self.wanted[which], self.cut[which] = kept, max(self.cut[which], minute)

    @rule(which=which, data=st.data())
    def erase(self, which, data):
        ids = sorted({one[0] for one in self.wanted[which].values()})
        chosen = data.draw(st.lists(st.sampled_from(ids), max_size=3, unique=True)) if ids else []
        if chosen:
            deleted = self.monitors[which].delete(ids=["nobody's", *chosen])
            gone = {key for key, one in self.wanted[which].items() if one[0] in chosen}
            assert (deleted.predictions, deleted.missing) == (len(gone), ("nobody's",))
            self.erased[which] |= gone
            self.forget(which)

    def forget(self, which):
        self.wanted[which] = {key: one for key, one in self.wanted[which].items() if key not in self.erased[which]}

    @rule(which=which)
    def merge(self, which):
        merged = self.stores[which].merge(self.stores[1 - which])
        cut = max(self.cut)
        came = {key: one for key, one in self.wanted[1 - which].items() if one[1] >= cut}
        assert merged.erased == len(self.wanted[which].keys() & self.erased[1 - which])
        self.erased[which] |= self.erased[1 - which]
        self.wanted[which] = {**came, **self.wanted[which]}
        self.forget(which)

    @rule(which=which)
    def collect(self, which):
        self.stores[which].gc(grace_s=0.0)

    @rule(which=which, minute=minutes, limit=st.integers(0, 5))
    def look(self, which, minute, limit):
        wanted = sorted(one[1] for one in self.wanted[which].values() if one[1] >= minute)
        found = self.monitors[which].predictions(since=at(minute))
        assert len(found) == len(wanted)
        assert [one.time for one in found.newest(limit)] == [
            at(one) for one in wanted[len(wanted) - min(limit, len(wanted)) :]
        ]

    @rule(which=which, data=st.data())
    def find(self, which, data):
        if self.wanted[which]:
            id_, minute, value = data.draw(st.sampled_from(sorted(self.wanted[which].values())))
            one = self.stores[which].predictions[id_]
            assert (one.id, one.time, one.prediction) == (id_, at(minute), value)

    @invariant()
    def each_has_what_it_should(self):
        for monitor, wanted in zip(self.monitors, self.wanted, strict=True):
            frame = monitor.predictions().to_frame()
            rows = sorted(zip(frame["id"], frame["time"], frame.get("prediction", []), strict=True))
            assert rows == sorted((id_, at(minute), value) for id_, minute, value in wanted.values())

    def teardown(self):
        freeing.NAMED_WITHIN_S = self.patience
        for store in self.stores:
            assert store.check(deep=True) == []
            store.close()
        shutil.rmtree(self.folder)


TestKeeping = Keeping.TestCase
TestKeeping.settings = settings(max_examples=6, stateful_step_count=15, deadline=None)
