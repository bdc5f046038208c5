"""The graph of lineage in the tables: what is one edge away from a node. Reads only."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from modelmgmt.errors import InvalidTypeError, InvalidValueError, NotFoundError
from modelmgmt.models.lineage.graph import Direction, Edge, Lineage, Node, walk
from modelmgmt.models.registry.imported import Origin
from modelmgmt.models.registry.reference import find_version, in_place, parse
from modelmgmt.models.registry.rows import AliasRow, ModelRow, Tables, VersionRow
from modelmgmt.models.registry.stages import Stages
from modelmgmt.store.events import log_of
from modelmgmt.store.names import among, did_you_mean, shown
from modelmgmt.tracking import record as records

if TYPE_CHECKING:
    from modelmgmt.store.kernel import Kernel

OUTPUT = "output"
"""The role of data that a run has made; all other roles are of data that it has read."""
_SHORT = 10  # characters of a hash
_DATA = "name, number, fingerprint, kind, source"


def lineage(kernel: Kernel, reference: object, direction: Direction = "both") -> Lineage:
    """What a reference came from, and what came of it.

    References: `churn:3`, `churn@production`, `churn` for all its versions, `run:ID`, `data:NAME`, `data:NAME:2`,
    `code:COMMIT` (its beginning will do). Raises NotFoundError, InvalidValueError, AmbiguousError.
    """
    with kernel.database.reading() as connection:
        graph = Graph(connection)
        return walk(graph.find(reference), graph, direction)


@dataclass(frozen=True, slots=True)
class Graph:
    connection: sqlite3.Connection
    _told: dict[str, list[tuple[Edge, Node, Node]]] = field(default_factory=dict)
    """What imports say, once it was asked for: node -> the edges at it."""

    def find(self, reference: object) -> list[Node]:
        """The nodes that a reference means."""
        if not isinstance(reference, str):
            raise InvalidTypeError(f"Lineage is asked for by a reference, and {type(reference).__name__} was given.")
        told = self._find_told(reference)
        try:
            known = self._find(reference)
        except (NotFoundError, InvalidValueError):
            if not told:
                raise
            known = []
        return list({node.id: node for node in (*told, *known)}.values())

    def _find_told(self, reference: str) -> list[Node]:
        """What only imports tell of: a bundle, and a run, code or data that is not here; a digest by its beginning."""
        self._imports()
        kind, _, rest = reference.partition(":")
        start = {"code": reference, "bundle": reference, "data": f"{reference}@"}.get(kind) if rest else None
        nodes = {node.id: node for edges in self._told.values() for _, *ends in edges for node in ends}
        return [
            node for id_, node in nodes.items() if id_ == reference or (start is not None and id_.startswith(start))
        ]

    def _find(self, reference: str) -> list[Node]:
        head, _, rest = reference.partition(":")
        if head == "bundle":
            raise NotFoundError(f"No version of the store was imported from the bundle {shown(rest)}.")
        if head == "data":
            return self._find_data(rest)
        if head == "code":
            return self._find_code(rest)
        if head == "run":
            return [self.run(records.find(self.connection, rest.partition("/")[0]).id)]
        tables = Tables(self.connection)
        if tables.find(ModelRow, reference) is not None:
            return [version_node(row) for row in tables.select(VersionRow, model=reference)]
        try:
            return [version_node(find_version(self.connection, parse(reference)))]
        except InvalidValueError as error:
            ways = "run:ID, data:NAME, data:NAME:2, code:COMMIT, prediction:ID, the name of a model, or churn:3 and the like"
            there = [f"data:{name}" for (name,) in self.rows("SELECT DISTINCT name FROM dataset_versions ORDER BY 1")]
            there += [f"run:{name}" for (name,) in self.rows("SELECT name FROM runs ORDER BY id DESC LIMIT 2000")]
            hint = did_you_mean(reference, there)
            raise InvalidValueError(f"Lineage is of {ways}; {shown(reference)} is none of these.{hint}") from error

    def up(self, node: Node) -> Iterator[tuple[Edge, Node]]:
        """What went into it: as this store knows, and what imports say beyond that."""
        known = list(self._up(node))
        yield from known
        starts = {edge.start for edge, _ in known}
        self._imports()
        for edge, start, _ in self._told.get(node.id, ()):
            if edge.end == node.id and edge.start not in starts:
                yield edge, start

    def down(self, node: Node) -> Iterator[tuple[Edge, Node]]:
        """What came of it."""
        known = list(self._down(node))
        yield from known
        ends = {edge.end for edge, _ in known}
        self._imports()
        for edge, _, end in self._told.get(node.id, ()):
            if edge.start == node.id and edge.end not in ends:
                yield edge, end

    def _imports(self) -> None:
        """Read, once, where versions were imported and copied from."""
        if self._told:
            return
        self._told[""] = []
        log, tables = log_of(self.connection), Tables(self.connection)
        for key in self.rows(
            "SELECT model, number FROM model_versions WHERE origin IS NOT NULL ORDER BY model, number"
        ):
            row = tables.find(VersionRow, *key)
            for edge, start, end in self._told_by(row, log) if row is not None else ():
                for name in (start.id, end.id):
                    self._told.setdefault(name, []).append((edge, start, end))

    def _told_by(self, row: VersionRow, log: str | None) -> Iterator[tuple[Edge, Node, Node]]:
        """The way of a version back to what made it: (edge, its start, its end)."""
        first, end, where, claimed = Origin.decode(row.origin or ""), version_node(row), log, ""
        for step in first.steps():
            if step.kind == "bundle":
                bundle = _bundle(step)
                yield Edge(bundle.id, end.id, f"imported{claimed}"), bundle, end
                end, where, claimed = bundle, step.store, " (claimed)"
            source = self._version(step.reference, where, log, row.digest)
            if source is None:  # a run's, or an older bundle, which does not say
                continue
            role = "copied" if step.kind == "version" else "exported"
            yield Edge(source.id, end.id, f"{role}{claimed}"), source, end
            if source.detail["model"] is not None:
                return  # it is here, and this store knows the rest
            end = source
        told = next((step for step in first.steps() if step.kind == "bundle"), None)
        if told is not None:
            yield from self._told_of_run(told, end)

    def _version(self, reference: str | None, where: str | None, log: str | None, digest: str) -> Node | None:
        """The version that was exported or copied: of this store, or one that is known by what a bundle says."""
        if reference is None or reference.startswith("run:"):
            return None
        model, _, number = reference.rpartition(":")
        is_own = where == log and number.isdecimal()
        row = Tables(self.connection).find(VersionRow, model, int(number)) if is_own else None
        if row is not None and row.digest == digest:
            return version_node(row)
        there = (
            "no longer in the store"
            if where == log
            else f"of the store {where[:_SHORT]}"
            if where
            else "of another store"
        )
        about = {"model": None, "number": None, "stage": None, "run": None, "digest": digest, "reference": reference}
        id_ = reference if where == log else f"{reference} of {where}"
        return Node(id_, "version", f"{reference} ({there})", {**about, "store": where})

    def _told_of_run(self, told: Origin, end: Node) -> Iterator[tuple[Edge, Node, Node]]:
        """The run that the package names, here or not, and what went into it."""
        if "id" in told.run:
            id_, name = told.run["id"], "/".join(told.run[key] for key in ("experiment", "name") if key in told.run)
            is_here = bool(self.rows("SELECT 1 FROM runs WHERE id = ?", id_))
            run = (
                self.run(id_)
                if is_here
                else Node(f"run:{id_}", "run", f"{name} (not here)", {"run": id_, "status": None})
            )
            yield Edge(run.id, end.id, "made (claimed)"), run, end
            end = run
        if told.code.get("tree"):
            dirty = told.code["dirty"]
            code = _code(told.code["commit"], dirty, told.code["tree"])
            yield Edge(code.id, end.id, "code (claimed)"), code, end
        for each in told.data:
            sql = f"SELECT {_DATA} FROM dataset_versions WHERE name = ? AND fingerprint = ?"
            found = [_data(*about) for about in self.rows(sql, each["name"], each["fingerprint"])]
            data = found[0] if found else _data_elsewhere(each)
            way = (end, data) if each["role"] == OUTPUT else (data, end)
            yield Edge(way[0].id, way[1].id, f"{each['role']} (claimed)"), *way
        if told.environment is not None:
            environment = _environment(told.environment)
            yield Edge(environment.id, end.id, "environment (claimed)"), environment, end

    def _up(self, node: Node) -> Iterator[tuple[Edge, Node]]:
        detail = node.detail
        if node.kind == "version" and detail["run"] is not None:
            run = self.run(detail["run"])
            yield Edge(run.id, node.id, "made"), run
        elif node.kind == "run":
            for code in self._code("run = ?", detail["run"]):
                yield Edge(code.id, node.id, "code"), code
            for role, data in self._data("run = ? AND role != ?", detail["run"], OUTPUT):
                yield Edge(data.id, node.id, role), data
            for (digest,) in self.rows("SELECT digest FROM run_environments WHERE run = ?", detail["run"]):
                yield Edge(f"environment:{digest}", node.id, "environment"), _environment(digest)
        elif node.kind == "data":
            yield from self._runs_of(node, "role = ?", up=True)

    def _down(self, node: Node) -> Iterator[tuple[Edge, Node]]:
        detail = node.detail
        if node.kind == "run":
            for row in Tables(self.connection).select(VersionRow, run=detail["run"]):
                yield Edge(node.id, f"{row.model}:{row.number}", "made"), version_node(row)
            for role, data in self._data("run = ? AND role = ?", detail["run"], OUTPUT):
                yield Edge(node.id, data.id, role), data
        elif node.kind == "version":
            for role, place in self._deployments(detail["model"], detail["number"]):
                yield Edge(node.id, place.id, role), place
        elif node.kind == "data":
            yield from self._runs_of(node, "role != ?", up=False)
        elif node.kind == "code":
            for run in self._runs_from(detail["commit"], detail["tree"]):
                yield Edge(node.id, f"run:{run}", "code"), self.run(run)
        elif node.kind == "environment":
            for (run,) in self.rows("SELECT run FROM run_environments WHERE digest = ? ORDER BY run", detail["digest"]):
                yield Edge(node.id, f"run:{run}", "environment"), self.run(run)

    def rows(self, sql: str, *values: Any) -> list[Any]:
        return self.connection.execute(sql, values).fetchall()

    def run(self, run: str) -> Node:
        record = records.read(self.connection, run)
        label = f"{record.experiment}/{record.name}"
        return Node(f"run:{run}", "run", label, {"run": run, "status": record.true_status})

    def _deployments(self, model: str, number: int) -> Iterator[tuple[str, Node]]:
        """The stage and the aliases of a version. It *is* `churn@staging` when that leads to it, and not another in there."""
        tables = Tables(self.connection)
        owner, row = tables.find(ModelRow, model), tables.find(VersionRow, model, number)
        if owner is not None and row is not None and row.stage in Stages.decode(owner.stages).names[1:-1]:
            role = "is" if in_place(tables, model, row.stage) == number else "also in"
            yield role, Node(f"{model}@{row.stage}", "deployment", f"{model}@{row.stage}")
        for alias in tables.select(AliasRow, model=model, number=number):
            yield "is", Node(f"{model}@{alias.alias}", "deployment", f"{model}@{alias.alias}")

    def _code(self, condition: str, *values: Any) -> Iterator[Node]:
        sql = f"SELECT DISTINCT git_commit, is_dirty, tree_digest FROM code_versions WHERE {condition}"
        for commit, is_dirty, tree in self.rows(sql, *values):
            yield _code(commit, is_dirty, tree)

    def _runs_from(self, commit: str | None, tree: str | None) -> list[str]:
        """The runs of a clean commit (no tree), or of what was snapshot."""
        condition, value = ("is_dirty = 0", ()) if tree is None else ("tree_digest = ?", (tree,))
        sql = f"SELECT DISTINCT run FROM code_versions WHERE git_commit IS ? AND {condition} ORDER BY run"
        return [run for (run,) in self.rows(sql, commit, *value)]

    def _data(self, condition: str, *values: Any) -> Iterator[tuple[str, Node]]:
        sql = f"""
            SELECT role, name, number, fingerprint, kind, source FROM run_datasets
            JOIN dataset_versions USING (name, fingerprint) WHERE {condition} ORDER BY role, name, number
            """
        for role, *about in self.rows(sql, *values):
            yield role, _data(*about)

    def _runs_of(self, data: Node, condition: str, *, up: bool) -> Iterator[tuple[Edge, Node]]:
        sql = f"SELECT run, role FROM run_datasets WHERE name = ? AND fingerprint = ? AND {condition} ORDER BY run"
        for run, role in self.rows(sql, data.detail["name"], data.detail["fingerprint"], OUTPUT):
            node = self.run(run)
            yield Edge(*((node.id, data.id) if up else (data.id, node.id)), role), node

    def _find_data(self, text: str) -> list[Node]:
        name, mark, number = text.rpartition(":")
        sql = f"SELECT {_DATA} FROM dataset_versions WHERE name = ?"
        found = []
        if mark and number.isdecimal():
            found = self.rows(f"{sql} AND number = ?", name, int(number[:18]))
        found = found or self.rows(f"{sql} ORDER BY number", text)
        if not found:
            there = [row[0] for row in self.rows("SELECT DISTINCT name FROM dataset_versions ORDER BY 1")]
            raise NotFoundError(f"The store has no data {shown(text)}; it has: {among(name or text, there)}")
        return [_data(*about) for about in found]

    def _find_code(self, text: str) -> list[Node]:
        start = text.partition("+")[0]
        found: dict[str, Node] = {}
        if start and start.isalnum():
            ends = (start, start + "~")  # every hexadecimal digit sorts before the tilde
            for column in ("git_commit", "tree_digest"):
                for node in self._code(f"{column} >= ? AND {column} < ?", *ends):
                    found[node.id] = node
        if not found:
            raise NotFoundError(f"No run of the store was made from the code {shown(text)}.")
        return list(found.values())


def version_node(row: VersionRow) -> Node:
    reference = f"{row.model}:{row.number}"
    about = {"model": row.model, "number": row.number, "stage": row.stage, "run": row.run, "digest": row.digest}
    return Node(reference, "version", reference, about)


def _bundle(origin: Origin) -> Node:
    """A file that was imported, here or where a bundle says so; its label says who has signed what is in it."""
    label = f"{origin.file or ''} {(origin.digest or '')[:_SHORT]}, {origin.signers(_SHORT)}".strip()
    about = {"file": origin.file, "digest": origin.digest, "signed": dict(origin.signed), "store": origin.store}
    return Node(f"bundle:{origin.digest}", "bundle", label, {**about, "reference": origin.reference})


def _data_elsewhere(told: Mapping[str, Any]) -> Node:
    """Data that this store has not: by their fingerprint, since the number is one of another store."""
    mark = told["fingerprint"][:_SHORT]
    about = {
        "name": told["name"],
        "number": None,
        "fingerprint": told["fingerprint"],
        "data_kind": None,
        "source": None,
    }
    return Node(f"data:{told['name']}@{mark}", "data", f"{told['name']} {mark} (not here)", about)


def _environment(digest: str) -> Node:
    return Node(f"environment:{digest}", "environment", digest[:_SHORT], {"digest": digest})


def _data(name: str, number: int, fingerprint: str, kind: str, source: str | None) -> Node:
    about = {"name": name, "number": number, "fingerprint": fingerprint, "data_kind": kind, "source": source}
    return Node(f"data:{name}:{number}", "data", f"{name}:{number}", about)


def _code(commit: str | None, is_dirty: int | None, tree: str) -> Node:
    """A clean commit is one thing, whatever ran from it; with changes on top, or without git, what ran is."""
    if commit is not None and not is_dirty:
        return Node(f"code:{commit}", "code", commit[:_SHORT], {"commit": commit, "tree": None})
    if commit is None:
        return Node(f"code:{tree}", "code", f"snapshot {tree[:_SHORT]}", {"commit": None, "tree": tree})
    about = {"commit": commit, "tree": tree}
    return Node(f"code:{commit}+{tree[:_SHORT]}", "code", f"{commit[:_SHORT]} with changes", about)
