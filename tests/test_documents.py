"""What the documents say is true: their code runs, what they name exists, and what exists is named."""

from __future__ import annotations

import doctest
import functools
import importlib
import inspect
import json
import pkgutil
import re
import shlex
import sqlite3
import subprocess
import sys
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import pytest

import modelmgmt
import modelmgmt as mm

ROOT = Path(__file__).parents[1]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
MODULES = sorted(module.name for module in pkgutil.walk_packages(modelmgmt.__path__, "modelmgmt."))
SOURCES = sorted((ROOT / "modelmgmt").rglob("*.py"))
FLAGS = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS

each_document = pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, the number of its first line of text, and its text."""

    language: str
    line: int
    text: str


@functools.cache
def read(path: Path) -> str:
    return path.read_text("utf-8")


def blocks(path: Path) -> Iterator[Block]:
    pattern = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
    for match in pattern.finditer(read(path)):
        yield Block(match[1], read(path).count("\n", 0, match.start(2)) + 1, match[2])


def prose(path: Path) -> str:
    """The text without its fenced blocks, line for line."""
    return re.sub(
        r"^```.*?^```$", lambda match: "\n" * match[0].count("\n"), read(path), flags=re.MULTILINE | re.DOTALL
    )


@functools.cache
def everything() -> str:
    return "\n".join(read(path) for path in DOCUMENTS)


# ------------------------------------------------------------------------------------------- what they show runs


@pytest.fixture
def console():
    console = Console()
    yield console
    console.close()


@each_document
def test_code_runs(path, console):
    namespace = {"__name__": "__main__"}
    for block in blocks(path):
        if block.language == "python":
            run_python(path, block, namespace)
        elif block.language == "console":
            run_console(path, block, console)


def run_python(path: Path, block: Block, namespace: dict[str, object]) -> None:
    # Blank lines before it, so that a traceback has the line of the document.
    code = compile("\n" * (block.line - 1) + block.text, str(path), "exec")
    try:
        exec(code, namespace)
    except Exception as error:
        lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
        message = f"{path.relative_to(ROOT)}:{lines[-1]}: {type(error).__name__}: {error}"
        raise AssertionError(message) from error


AGAIN = [ROOT / "README.md", ROOT / "docs" / "quickstart.md"]


def code_of(path: Path) -> list[str]:
    return [block.text for block in blocks(path) if block.language == "python"]


@pytest.mark.parametrize("path", AGAIN, ids=lambda path: path.name)
def test_they_run_three_times_in_one_folder(path, tmp_path):
    script = tmp_path / "document.py"
    script.write_text("\n".join(code_of(path)))
    for _ in range(3):
        done = subprocess.run(
            [sys.executable, "-W", "error", script], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert (done.returncode, done.stderr) == (0, "")


def test_they_run_one_after_another_in_one_folder(tmp_path):
    for path in AGAIN * 2:
        script = tmp_path / "document.py"
        script.write_text("\n".join(code_of(path)))
        done = subprocess.run([sys.executable, script], cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("path", [*AGAIN, ROOT / "notebooks" / "quickstart.ipynb"], ids=lambda path: path.name)
def test_they_run_three_times_in_one_kernel(path, tmp_path, monkeypatch):
    import nbformat
    from nbclient import NotebookClient

    monkeypatch.setenv("JUPYTER_PLATFORM_DIRS", "1")
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / ".ipython"))
    if path.suffix == ".ipynb":
        cells = [cell.source for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
    else:
        cells = code_of(path)
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells * 3])
    NotebookClient(
        notebook, timeout=600, startup_timeout=600, resources={"metadata": {"path": str(tmp_path)}}
    ).execute()
    assert not [
        output for cell in notebook.cells for output in cell.get("outputs", ()) if output.get("name") == "stderr"
    ]


def run_console(path: Path, block: Block, console: Console) -> None:
    """Run the lines `$ modelmgmt ...`; one that ends in `# exit code N` ends with that."""
    for number, line in enumerate(block.text.splitlines(), start=block.line):
        if not line.startswith("$ modelmgmt "):
            continue
        expected = re.search(r"# exit code (\d)$", line)
        done = console.run(shlex.split(line.removeprefix("$ modelmgmt "), comments=True))
        output = f"{path.relative_to(ROOT)}:{number}: {line}\nexit code {done['code']}\n{done['out']}{done['err']}"
        assert done["code"] == int(expected[1] if expected else 0), output
        assert "Traceback" not in done["err"], output


class Console:
    """Processes for commands, in the working folder of the moment it is first used; see `console.py`."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None

    def run(self, words: list[str]) -> dict[str, Any]:
        if self._process is None:
            command = [sys.executable, "-W", "error", str(Path(__file__).with_name("console.py"))]
            self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._process.stdin.write(json.dumps(words) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def close(self) -> None:
        if self._process is not None:
            self._process.communicate()


@each_document
def test_every_block_says_what_it_is(path):
    unknown = [block.line for block in blocks(path) if block.language not in {"python", "console", "text", "sql"}]
    assert not unknown, f"{path.relative_to(ROOT)}: lines {unknown} begin a block of another kind"


@pytest.mark.parametrize("name", ["modelmgmt", *MODULES])
def test_doctests(name):
    module = importlib.import_module(name)
    door = {key: getattr(mm, key) for key in ("Store", "start_run", "log", "active_run")}
    runner = doctest.DocTestRunner(optionflags=FLAGS, verbose=False)
    report: list[str] = []
    for test in doctest.DocTestFinder().find(module, name, extraglobs={**door, "mm": mm}):
        runner.run(test, out=report.append)
    assert not runner.failures, "".join(report)


@pytest.mark.parametrize("name", [name for name in mm.__all__ if not inspect.ismodule(getattr(mm, name))])
def test_front_door_shows_an_example(name):
    thing = getattr(mm, name)
    assert thing.__doc__, f"{name} has no docstring"
    parts = [thing, *(vars(base) for base in thing.__mro__)] if inspect.isclass(thing) else [thing]
    members = [member for part in parts if not callable(part) for member in part.values()]
    texts = [inspect.getdoc(part) or "" for part in [thing, *filter(callable, members)]]
    assert any(">>>" in text for text in texts), f"{name} shows no example"


def test_readme_shows_code_at_once():
    [first, *_] = blocks(ROOT / "README.md")
    assert first.language == "python"
    assert first.line <= 12


def test_readme_gives_the_two_commands():
    lines = read(ROOT / "README.md").splitlines()
    assert 'pip install ".[demo]" && modelmgmt demo' in lines
    assert 'pip install -e ".[dev]" && pytest' in lines


# ------------------------------------------------------------------------------------------- what exists is named


def is_named(name: str, text: str) -> bool:
    return re.search(rf"(?:`|\.|\bmm\.){re.escape(name)}\b", text) is not None


def verbs(thing: type) -> list[str]:
    return [name for name in dir(thing) if not name.startswith("_")]


@pytest.mark.parametrize("thing", [mm.Store, mm.Run, mm.Runs, mm.Comparison], ids=lambda thing: thing.__name__)
def test_verbs_are_named(thing):
    missing = [name for name in verbs(thing) if name != "query" and not is_named(name, everything())]
    assert not missing, f"the documents do not name these of {thing.__name__}"


def test_arguments_are_named():
    text = read(ROOT / "docs/guides/tracking.md")
    arguments = [*inspect.signature(mm.Store.start_run).parameters][1:]
    assert [name for name in [*arguments, "store"] if f"`{name}`" not in text] == []
    text = read(ROOT / "docs/guides/plots-and-reports.md")
    options = [*inspect.signature(mm.plots.curves).parameters][2:]
    assert [name for name in options if f"`{name}`" not in text] == []


def test_front_door_is_named():
    assert [name for name in mm.__all__ if not is_named(name, everything())] == []


def test_errors_are_named():
    text = read(ROOT / "docs/guides/tracking.md")
    errors = [name for name, value in vars(mm.errors).items() if isinstance(value, type)]
    assert [name for name in errors if f"`{name}`" not in text] == []


def commands() -> dict[str, click.Command]:
    """Every command by its words; those of a group after the group."""
    from modelmgmt.cli import cli

    found: dict[str, click.Command] = {}
    todo: list[tuple[str, click.Command]] = [("", cli)]
    while todo:
        words, command = todo.pop(0)
        if words:
            found[words] = command
        if isinstance(command, click.Group):
            context = click.Context(command)
            below = [
                (f"{words} {name}".strip(), command.get_command(context, name))
                for name in command.list_commands(context)
            ]
            todo += [(name, each) for name, each in below if each is not None]
    return found


@pytest.mark.parametrize("name", commands())
def test_commands_and_options_are_named(name):
    """A command of a group has a section below that of the group, or is named in it."""
    text = read(ROOT / "docs/guides/cli.md")
    shared = text.partition("\n## ")[0]
    group, _, below = name.partition(" ")
    section = text.partition(f"\n## `modelmgmt {group}`\n")[2].partition("\n## ")[0]
    assert section, f"docs/guides/cli.md has no section on {group}"
    own = section.partition(f"\n### `modelmgmt {name}`\n")[2].partition("\n### ")[0]
    assert own or not below or f"`{below}" in section, f"docs/guides/cli.md does not name {name}"
    options = [option for parameter in commands()[name].params for option in parameter.opts if option.startswith("-")]
    assert [option for option in options if f"`{option}" not in (own or section) + shared] == []


def test_variables_are_named():
    variables = {variable for path in SOURCES for variable in re.findall(r"MODELMGMT_[A-Z_]+", read(path))}
    text = read(ROOT / "docs/guides/tracking.md")
    assert [variable for variable in sorted(variables) if f"| `{variable}` |" not in text] == []


def test_fields_of_filters_are_named():
    from modelmgmt.tracking.query import FIELDS

    text = read(ROOT / "docs/guides/query.md")
    assert [field for field in FIELDS if f"`{field}`" not in text] == []


def test_tables_and_columns_are_specified():
    import sqlite_utils

    from modelmgmt.store import schema
    from modelmgmt.store.database import APPLICATION_ID, SCHEMA_VERSION

    text = read(ROOT / "docs/explain/store-format.md")
    db = sqlite_utils.Database(sqlite3.connect(":memory:", isolation_level=None))
    schema.apply(db.conn)
    missing = []
    for table in db.tables:
        section = text.partition(f"\n### `{table.name}`\n")[2].partition("\n#")[0]
        missing += [f"{table.name}.{column.name}" for column in table.columns if f"| `{column.name}`" not in section]
    for view in db.views:
        missing += [f"{view.name}.{column.name}" for column in view.columns if f"`{column.name}`" not in text]
        missing += [view.name] if f"| `{view.name}` |" not in text else []
    db.close()
    assert not missing
    assert f"`{APPLICATION_ID:#x}`" in text.lower()
    assert f"`user_version` | {SCHEMA_VERSION} " in text


# ------------------------------------------------------------------------------------------- what they name exists


def test_paths_exist():
    here = {path.name for path in ROOT.iterdir()}
    ours = re.compile(r"`((?:modelmgmt|docs|tests|notebooks|benchmarks|\.ci)/[\w./*-]*|[\w-]+\.(?:md|toml|ipynb))`")
    missing = []
    for path in [*DOCUMENTS, *SOURCES]:
        text = prose(path) if path.suffix == ".md" else read(path)
        for match in ours.finditer(text):
            name = match[1].rstrip("/")
            if not (name in here or any(ROOT.glob(name))):
                missing.append(f"{path.relative_to(ROOT)}: {name}")
    assert not missing


@each_document
def test_links_resolve(path):
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(path)):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        linked = (path.parent / name).resolve() if name else path
        if not linked.exists() or (anchor and anchor not in anchors(linked)):
            broken.append(target)
    assert not broken


def anchors(path: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", prose(path), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_document_can_be_reached():
    """By links from the README, over any number of pages."""
    seen, todo = set(), [ROOT / "README.md"]
    while todo:
        page = todo.pop()
        if page in seen or page.suffix != ".md":
            continue
        seen.add(page)
        todo += [(page.parent / target).resolve() for target in re.findall(r"\]\(([^)#\s:]+)", prose(page))]
    assert [str(path.relative_to(ROOT)) for path in DOCUMENTS if path not in seen] == []
