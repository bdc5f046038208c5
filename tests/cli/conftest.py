"""The command line, asked in this process."""

from __future__ import annotations

import json
import sys

import pytest

from modelmgmt import cli


class Answer:
    def __init__(self, code, out, err):
        self.code, self.out, self.err = code, out, err

    @property
    def json(self):
        return json.loads(self.out, parse_constant=pytest.fail)


@pytest.fixture
def ask(monkeypatch, capsys):
    """Run the console script's function in this process; `$COLUMNS` is wide, so that tables do not wrap."""
    monkeypatch.setenv("COLUMNS", "220")

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["modelmgmt", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            cli.main()
        out, err = capsys.readouterr()
        assert "Traceback" not in err
        return Answer(end.value.code or 0, out, err)

    return run
