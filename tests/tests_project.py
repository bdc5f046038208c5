"""A project with a git repository of its own, whose scripts run in processes of their own."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import modelmgmt as mm

IDENTITY = {
    "GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@example.org", "GIT_COMMITTER_NAME": "a",
    "GIT_COMMITTER_EMAIL": "a@example.org", "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1",
}  # fmt: skip


class Project:
    """A folder of code."""

    def __init__(self, root: Path, store: Path) -> None:
        self.root = root
        self.store_path = store
        root.mkdir()

    def write(self, path: str, text: str) -> Path:
        """Write a file, and take away what Python has compiled of an earlier text of it.

        Python tells bytecode by size and second: what has one size and was written twice within a second would not be run.
        """
        place = self.root / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(textwrap.dedent(text))
        for compiled in place.parent.glob(f"__pycache__/{place.stem}.*.pyc"):
            compiled.unlink()
        return place

    def git(self, *arguments: str) -> str:
        return subprocess.run(
            ["git", *arguments],
            cwd=self.root,
            env={**os.environ, **IDENTITY},
            check=True,
            capture_output=True,
            text=True,
        ).stdout.strip()

    def commit(self) -> str:
        if not (self.root / ".git").exists():
            self.git("init", "-q", "-b", "main")
        self.git("add", "-A")
        self.git("commit", "-qm", "a commit")
        return self.git("rev-parse", "HEAD")

    def python(self, *arguments: str, cwd: str = ".", status: int = 0, answers: str = "", **variables: str) -> str:
        """Run Python there; returns what it printed."""
        environment = {**os.environ, "MODELMGMT_STORE": str(self.store_path), **variables}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)  # what Python does with bytecode is tested, too
        done = subprocess.run(
            [sys.executable, "-W", "error", *arguments],
            cwd=self.root / cwd, env=environment, input=answers, capture_output=True, text=True, timeout=600, check=False,
        )  # fmt: skip
        assert done.returncode == status, done.stderr
        return done.stdout

    def run(self, *arguments: str, **options: str) -> mm.Run:
        """Run Python there; returns the newest run."""
        self.python(*arguments, **options)
        return mm.Store(self.store_path).runs(limit=1)[0]
