"""Lineage both ways: against a brute force over random graphs, and over the real tables."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

import modelmgmt as mm
from modelmgmt.errors import InvalidTypeError, InvalidValueError, ModelmgmtError, NotFoundError
from modelmgmt.models.lineage.graph import Edge, Node, walk
from modelmgmt.models.lineage.layout import collapsed, layers, layout
from modelmgmt.store.rows import column_names, row_crc

NOW = "2026-01-01T00:00:00.000000Z"


@dataclass
class Graph:
    edges: set

    def up(self, node):
        return [(Edge(a, b, "r"), Node(a, "run", a)) for a, b in sorted(self.edges) if b == node.id]

    def down(self, node):
        return [(Edge(a, b, "r"), Node(b, "run", b)) for a, b in sorted(self.edges) if a == node.id]


ids = st.sampled_from("abcdefgh")
graphs = st.sets(st.tuples(ids, ids).filter(lambda pair: pair[0] != pair[1]), max_size=20)


def reached(edges, start, *, up):
    found, size = {start}, 0
    while len(found) > size:
        size = len(found)
        found |= {(a if up else b) for a, b in edges if (b if up else a) in found}
    return found


@given(graphs, ids)
def test_a_walk_finds_all_that_is_above_and_below(edges, start):
    found = walk([Node(start, "run", start)], Graph(edges))
    above, below = reached(edges, start, up=True), reached(edges, start, up=False)
    assert set(found.nodes) == above | below
    assert {(e.start, e.end) for e in found.edges} == {
        (a, b) for a, b in edges if {a, b} <= above or {a, b} <= below
    }  # fmt: skip
    assert set(walk([Node(start, "run", start)], Graph(edges), "up").nodes) == above
    assert set(walk([Node(start, "run", start)], Graph(edges), "down").nodes) == below


@given(graphs, ids)
def test_every_node_has_one_place_and_arrows_lead_right(edges, start):
    found = walk([Node(start, "run", start)], Graph(edges))
    columns = layers(found)
    assert sorted(name for column in columns for name in column) == sorted(found.nodes)
    depth = {name: x for x, column in enumerate(columns) for name in column}
    if not any(b in reached(edges, a, up=True) for a, b in edges):  # no circle
        assert all(depth[e.start] < depth[e.end] for e in found.edges)


@given(graphs, ids)
def test_nothing_stands_on_something_else(edges, start):
    found = walk([Node(start, "run", start)], Graph(edges))
    drawn = layout(found, max_alike=100)
    lanes = {point for path in drawn.paths.values() for point in path[1:-1]}
    assert len(set(drawn.places.values())) == len(drawn.places) == len(found.nodes)
    assert not lanes & set(drawn.places.values())
    for edge, path in drawn.paths.items():
        assert (path[0], path[-1]) == (drawn.places[edge.start], drawn.places[edge.end])
    for x, y in [*drawn.places.values(), *lanes]:
        assert 0 <= x < drawn.columns
        assert 0 <= y < drawn.rows


@given(graphs, ids)
def test_text_ends_also_where_the_graph_is_a_circle(edges, start):
    assert len(str(walk([Node(start, "run", start)], Graph(edges))).splitlines()) >= 1


def test_a_long_chain():
    edges = {(f"{n:04}", f"{n + 1:04}") for n in range(3000)}
    by_end, by_start = {b: a for a, b in edges}, dict(edges)

    class Chain:
        def up(self, node):
            a = by_end.get(node.id)
            return [(Edge(a, node.id, "r"), Node(a, "run", a))] if a else []

        def down(self, node):
            b = by_start.get(node.id)
            return [(Edge(node.id, b, "r"), Node(b, "run", b))] if b else []

    found = walk([Node("1500", "run", "1500")], Chain())
    assert len(layers(found)) == 3001


def test_many_alike_are_one_in_the_picture():
    edges = {("data", f"run {n:02}") for n in range(40)}
    found = walk([Node("data", "data", "data")], Graph(edges))
    shown = collapsed(found, max_alike=5)
    assert len(shown.nodes) == 7
    assert sum("35 more runs" in node.label for node in shown.nodes.values()) == 1
    assert len(shown.edges) == 6
    assert collapsed(found, max_alike=100) == found


# -- the real tables --------------------------------------------------------------------------------------------------


@pytest.fixture
def filled(store, package):
    """raw -> prep -> customers:1 -> two fits, one from a clean commit, one from a changed one -> three versions."""
    digest = package()
    runs = {}
    for name in ("prep", "one", "two", "else"):
        with store.start_run("churn", name=name) as runs[name]:
            pass

    def put(connection, table, **values):
        columns = column_names(connection, table)[:-1]
        row = tuple(values.get(name) for name in columns)
        places = ", ".join("?" * (len(row) + 1))
        connection.execute(f"INSERT OR REPLACE INTO {table} VALUES ({places})", (*row, row_crc(table, row)))

    def code(connection, run, commit, dirty):
        put(connection, "code_versions", run=runs[run].id, number=0, captured_at=NOW, reason="start", git_commit=commit,
            git_remotes="{}", is_dirty=dirty, tree_digest=digest, left_out="[]")  # fmt: skip

    with store._kernel.database.writing() as connection:
        for run in runs.values():
            for table in ("code_versions", "run_environments"):
                connection.execute(f"DELETE FROM {table} WHERE run = ?", (run.id,))
        for name, fingerprint in (("raw", "f0"), ("customers", "f1"), ("other", "f2")):
            put(connection, "dataset_versions", name=name, fingerprint=fingerprint, number=1, kind="frame", rows=9,
                columns=2, bytes=99, profile_digest=digest, created_at=NOW)  # fmt: skip
        for run, name, fingerprint, role in (
            ("prep", "raw", "f0", "input"), ("prep", "customers", "f1", "output"), ("one", "customers", "f1", "train"),
            ("two", "customers", "f1", "train"), ("else", "other", "f2", "train"),
        ):  # fmt: skip
            put(
                connection,
                "run_datasets",
                run=runs[run].id,
                name=name,
                fingerprint=fingerprint,
                role=role,
                logged_at=NOW,
            )
        for run, dirty in (("prep", 0), ("one", 0), ("two", 1)):
            code(connection, run, "a" * 40, dirty)
            put(connection, "run_environments", run=runs[run].id, digest=digest, captured_at=NOW)
        code(connection, "else", None, None)
    for run in ("one", "two", "else"):
        store.models.register("churn", digest=digest, format="raw", run=runs[run].id)
    churn = store.models["churn"]
    churn.promote(1, "production")
    churn.set_alias("champion", 1)
    return store, runs, digest


def names(found, kind=None):
    return {node.id for node in found.nodes.values() if kind in (None, node.kind)}


def test_from_what_is_in_production_back_to_the_raw_data(filled):
    store, runs, digest = filled
    found = store.lineage("churn@production")
    assert found.roots == ("churn:1",)
    assert names(found) == {
        "churn:1", "churn@production", "churn@champion", f"run:{runs['one'].id}", f"run:{runs['prep'].id}",
        "data:customers:1", "data:raw:1", f"code:{'a' * 40}", f"environment:{digest}",
    }  # fmt: skip
    assert names(store.lineage("models:/churn/Production")) == names(found)
    up = store.lineage("churn:1", direction="up")
    assert names(up, "deployment") == set()
    assert {(e.role, e.start) for e in up.edges if e.end == f"run:{runs['one'].id}"} >= {("train", "data:customers:1")}


def test_from_the_data_to_every_model_and_deployment(filled):
    store, runs, _ = filled
    for reference in ("data:raw", "data:raw:1"):
        found = store.lineage(reference, direction="down")
        assert names(found, "version") == {"churn:1", "churn:2"}
        assert names(found, "deployment") == {"churn@production", "churn@champion"}
    assert names(store.lineage("data:other"), "version") == {"churn:3"}
    assert f"run:{runs['prep'].id}" in names(store.lineage("data:customers:1", direction="up"))


def test_from_a_commit_to_the_models(filled):
    store, _, digest = filled
    found = store.lineage("code:aaaa")
    assert names(found, "version") == {"churn:1", "churn:2"}, "with changes on top, too"
    assert names(store.lineage(f"code:{'a' * 40}"), "code") >= {f"code:{'a' * 40}"}
    assert "churn:3" in names(store.lineage(f"code:{digest}"), "version"), "a snapshot without git"


def test_the_card_says_where_a_version_is_from(filled):
    store, _, digest = filled
    page = store.models["churn"]["production"].card()
    for line in ("| data, train | customers:1 |", f"| code | {'a' * 40} |", f"| environment | {digest} |"):
        assert line in page


def test_from_a_run_and_a_model(filled):
    store, runs, _ = filled
    assert names(store.lineage(f"run:{runs['two'].id}"), "version") == {"churn:2"}
    assert names(store.lineage("run:two"), "version") == {"churn:2"}
    assert store.lineage("churn").roots == ("churn:1", "churn:2", "churn:3")


def test_what_can_not_be_asked(filled):
    store, *_ = filled
    for reference, error in (
        ("churn:9", NotFoundError), ("data:nothing", NotFoundError), ("data:", NotFoundError), ("code:", NotFoundError),
        ("code:zzz", NotFoundError), ("code:%", NotFoundError), ("run:nobody", NotFoundError), ("", InvalidValueError),
        ("fraud@production", NotFoundError), (None, InvalidTypeError), (7, InvalidTypeError),
    ):  # fmt: skip
        with pytest.raises(error):
            store.lineage(reference)
    with pytest.raises(InvalidValueError, match="direction"):
        store.lineage("churn:1", direction="left")


@given(st.text(max_size=12))
def test_any_text_is_answered_or_refused(text):
    store = mm.Store("any")
    for reference in (text, f"data:{text}", f"code:{text}", f"run:{text}"):
        with pytest.raises(ModelmgmtError):
            store.lineage(reference)


def test_as_frame_dict_and_text(filled):
    store, *_ = filled
    found = store.lineage("churn@production")
    frame = found.to_frame()
    assert list(frame.columns) == ["start", "start_kind", "end", "end_kind", "role"]
    assert len(frame) == len(found.edges)
    content = found.to_dict()
    assert {node["id"] for node in content["nodes"]} == names(found)
    text = str(found).splitlines()
    assert text[0] == "churn:1"
    assert "      train: data customers:1" in text
    assert text[-1] == "    is: churn@champion"
    assert found.of("run")[0].label.startswith("churn/")


def test_the_picture(filled, tmp_path):
    store, *_ = filled
    axes = store.lineage("churn@production").plot()
    boxes = {text.get_text() for text in axes.texts}
    assert {"churn:1", "customers:1", "churn@production", "churn/one"} <= boxes
    legend = {text.get_text() for text in axes.get_legend().get_texts()}
    assert legend == {"data", "code", "environment", "run", "version", "stage or alias"}
    assert mm.plots.save(axes, tmp_path / "a.png").stat().st_size > 1000
    import matplotlib.figure

    given = matplotlib.figure.Figure().subplots()
    assert store.lineage("data:raw").plot(ax=given, max_alike=1) is given
    drawn = mm.plots.lineage(store.lineage("churn@production"))
    assert {text.get_text() for text in drawn.texts} == boxes
    with pytest.raises(InvalidTypeError, match=r"see store\.lineage"):
        mm.plots.lineage("churn@production")


def test_a_name_that_looks_like_a_formula(store, package):
    store.models.register("$x_{\\alpha$".replace("\\", ""), digest=package(), format="raw")
    axes = store.lineage("$x_{alpha$:1").plot()
    axes.get_figure().canvas.draw()


def test_what_is_no_reference_is_told_what_lineage_can_be_asked_of(tmp_path):
    store = mm.Store(tmp_path / "store")
    store.start_run("churn", name="first", code=False).finish()
    with pytest.raises(InvalidValueError, match=r"run:ID, data:NAME.*'first' is none.*Did you mean 'run:first'"):
        store.lineage("first")
