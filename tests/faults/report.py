"""The fault report, which anyone can run again: every long form, one after the other, and one table of what was found.

    python tests/faults/report.py
    python tests/faults/report.py --share 0.01     a hundredth of each, in a few minutes

A line that says "not tested" gives the reason. Exits with 1 when there is a fault.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

HERE = Path(__file__).parent
NOT_TESTED = 3


@dataclass(frozen=True)
class Form:
    """One script, and how many faults its long form has."""

    what: str
    script: str
    option: str
    count: int

    def command(self, share: float, seed: int) -> list[str]:
        words = [sys.executable, str(HERE / self.script), self.option]
        if self.option == "--every":  # every call, or every so manyth
            return [*words, str(max(1, round(self.count / share)))]
        seeds = [] if self.script == "full_disk.py" else ["--seed", str(seed)]
        return [*words, str(max(1, round(self.count * share))), *seeds]


FORMS = (
    Form("SIGKILL of a writer, at any instruction", "torture.py", "--kills", 1000),
    Form("SIGKILL of an upgrade, a recovery, a repair", "kill_openers.py", "--kills", 400),
    Form("SIGTERM with a handler, in the middle of each kind of write", "handlers.py", "--signals", 200),
    Form("power cut, within a moment of an acknowledgement", "power_cut.py", "--cuts", 100),
    Form("SIGKILL of writers on two machines, over a network mount", "network_mount.py", "--kills", 200),
    Form("one flipped bit", "bit_rot.py", "--flips", 1000),
    Form("a full disk, at every write in turn", "full_disk.py", "--disks", 200),
    Form("ENOSPC, EIO or SIGKILL at every system call", "syscalls.py", "--every", 1),
    Form("EIO at every system call that reads", "reads.py", "--every", 1),
)


def run(form: Form, share: float, seed: int) -> tuple[int, str, float]:
    """The exit status, the last line that the script printed, and how long it took, in seconds."""
    begun = time.monotonic()
    done = subprocess.run(form.command(share, seed), capture_output=True, text=True, check=False)
    lines = (done.stdout or done.stderr).strip().splitlines() or ["it printed nothing"]
    return done.returncode, lines[-1], time.monotonic() - begun


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--share", type=float, default=1.0, help="of the count of each long form")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", default="", help="scripts whose name has this in it")
    chosen = parser.parse_args()
    console = Console(width=max(100, Console().width), highlight=False)
    table = Table("what was done", "what was found", "faults", "seconds", title="Fault report", show_lines=True)
    failed = False
    for form in FORMS:
        if chosen.only not in form.script:
            continue
        console.print(f"[dim]{' '.join(form.command(chosen.share, chosen.seed)[1:])}")
        status, line, took_s = run(form, chosen.share, chosen.seed)
        found = re.search(r"(.*?)[:,] (\d+) (?:faults|silently wrong)$", line)
        faults = "not tested" if status == NOT_TESTED else found[2] if found else f"status {status}"
        table.add_row(form.what, found[1] if found else line, faults, f"{took_s:.0f}")
        failed |= status not in (0, NOT_TESTED)
    console.print(table)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
