"""What `import modelmgmt` costs: time, modules, memory."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
from pathlib import Path

from benchmarks.measure import Figure, Scale, folder, seconds

BASELINE = (
    "A bare interpreter, `python -c pass`, started in turns with the one that imports. 25 ms over it are allowed. Memory "
    "is the greatest resident size of the process, by resource.getrusage."
)
ALLOWED_MS = 25.0

_IMPORT = "import modelmgmt"
_THIRD_PARTY = (
    "import sys; before = set(sys.modules); import modelmgmt; "
    "new = {name.partition('.')[0] for name in set(sys.modules) - before}; "
    "print(*sorted(new - set(sys.stdlib_module_names) - {'modelmgmt'}))"
)
_START = "import modelmgmt as mm; run = mm.start_run()"
_LOG = "\nfor _ in range({count}): run.log(loss=0.25)\nrun.finish()"
_PEAK = "\nimport resource, sys; print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
_RSS_UNIT = 1 if sys.platform == "darwin" else 1024  # bytes


def run(place: Path, scale: Scale) -> list[Figure]:
    with folder(place) as here:
        codes = {"bare": "pass", "import": _IMPORT, "start": _START + "; run.finish()"}
        taken: dict[str, list[float]] = {name: [] for name in codes}
        for _ in range(scale.processes + 1):
            for name, code in codes.items():
                taken[name].append(seconds(lambda code=code: _python(code, here)))  # type: ignore[misc]
        # The first of each fills the caches of the disk, and writes the bytecode.
        bare, imported, started = (1000 * statistics.median(taken[name][1:]) for name in codes)
        foreign = _python(_THIRD_PARTY, here).split()
        memory = {
            name: _peak_mib(code, here)
            for name, code in {
                "bare": "pass",
                "import": _IMPORT,
                "start": _START,
                "log": _START + _LOG.format(count=scale.points),
            }.items()
        }
    return [
        Figure(
            "import modelmgmt, over bare Python / 25 ms", (imported - bare) / ALLOWED_MS, 1, "lower",
            f"{imported:.1f} ms - {bare:.1f} ms = {imported - bare:.1f} ms ({imported / bare:.2f} of bare)",
        ),
        Figure(
            "import modelmgmt, third-party modules loaded", float(len(foreign)), 0, "lower", " ".join(foreign) or "none"
        ),
        Figure(
            "import and one run in a process / bare Python", started / bare, None, "lower",
            f"{started:.0f} ms / {bare:.1f} ms",
        ),
        Figure(
            "memory after the import / bare Python", memory["import"] / memory["bare"], None, "lower",
            f"{memory['import']:.1f} MiB / {memory['bare']:.1f} MiB",
        ),
        Figure(
            "memory after one long run / bare Python", memory["log"] / memory["bare"], None, "lower",
            f"{memory['log']:.1f} MiB after {scale.points:,} calls; {memory['start']:.1f} MiB after start_run",
        ),
    ]  # fmt: skip


def _python(code: str, here: Path) -> str:
    return _output([sys.executable, "-c", code], here)


def _peak_mib(code: str, here: Path) -> float:
    # Through a shell that forks: a direct child would inherit this process's greatest size as its own.
    command = ["/bin/sh", "-c", '"$@"; exit $?', "sh", sys.executable, "-c", code + _PEAK]
    return int(_output(command, here)) * _RSS_UNIT / (1 << 20)


def _output(command: list[str], here: Path) -> str:
    result = subprocess.run(command, cwd=here, env=_environment(), capture_output=True, text=True, check=False)
    if result.returncode:
        raise RuntimeError(f"{command} ended with {result.returncode}: {result.stderr}")
    return result.stdout


def _environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MODELMGMT_")}
    return kept | {"PYTHONPATH": str(Path(__file__).parent.parent)}
