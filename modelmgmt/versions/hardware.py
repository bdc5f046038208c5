"""The machine: processor, cores, memory, GPUs. Imports nothing heavy, and starts no GPU."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

_GPU_TIMEOUT_S = 10.0
_gpus: list[list[str]] = []


def describe() -> dict[str, Any]:
    """cpu, cores, memory_bytes, gpus (names), and gpu_driver where there is one."""
    found: dict[str, Any] = {"cpu": _cpu(), "cores": os.cpu_count() or 0, "memory_bytes": _memory(), "gpus": gpus()}
    driver = _first(Path("/proc/driver/nvidia/version"), r"NVRM version:.*?\s(\d+\.[\d.]+)\s")
    return {**found, "gpu_driver": driver} if driver else found


def gpus() -> list[str]:
    """The names of the GPUs. Asked once per process: it may take a second."""
    if not _gpus:
        _gpus.append(_from_proc() or _from_tool() or _from_torch())
    return _gpus[0]


def _cpu() -> str:
    return _first(Path("/proc/cpuinfo"), r"^model name\s*:\s*(.+)$") or platform.processor() or platform.machine()


def _memory() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None


def _first(path: Path, pattern: str) -> str | None:
    try:
        match = re.search(pattern, path.read_text("utf-8", "replace"), re.MULTILINE)
    except OSError:
        return None
    return match[1].strip() if match else None


def _from_proc() -> list[str]:
    """What the driver says, which costs nothing."""
    folder = Path("/proc/driver/nvidia/gpus")
    names: list[str] = []
    with suppress(OSError):
        for place in sorted(folder.iterdir()):
            name = _first(place / "information", r"^Model:\s*(.+)$")
            names += [name] if name else []
    return names


def _from_tool() -> list[str]:
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return []
    try:
        done = subprocess.run(  # noqa: S603 - fixed words
            [tool, "--query-gpu=name", "--format=csv,noheader"],
            capture_output=True, text=True, timeout=_GPU_TIMEOUT_S, check=True,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError, ValueError):
        return []
    return [line.strip() for line in done.stdout.splitlines() if line.strip()]


def _from_torch() -> list[str]:
    """Of a torch that is loaded and has begun to use its GPUs; to ask another one would begin it."""
    torch: Any = sys.modules.get("torch")
    with suppress(AttributeError, RuntimeError):
        if torch.cuda.is_initialized():
            return [str(torch.cuda.get_device_name(place)) for place in range(torch.cuda.device_count())]
        if torch.backends.mps.is_available():
            return ["Apple MPS"]
    return []
