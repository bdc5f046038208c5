"""A large file as an artifact: the first time, and again."""

from __future__ import annotations

import os
import subprocess
from itertools import count
from pathlib import Path

import numpy as np

import modelmgmt as mm
from benchmarks.measure import Figure, Scale, folder, in_turns, size_of

BASELINE = (
    "`cp`, then `sha256sum` of the copy: the same work without a sync. Beside it, the same with the copy synced to "
    "disk, which is what an artifact promises. The file is random bytes; one new file each time."
)
_BLOCK = 1 << 20


def run(place: Path, scale: Scale) -> list[Figure]:
    with folder(place) as here, mm.Store(here / "store") as store, store.start_run("objects") as training:
        source, numbers = here / "model.bin", count()
        _fill(source, scale.file_bytes)

        def copy(*, synced: bool) -> None:
            target = here / "copy.bin"
            subprocess.run(["cp", source, target], check=True)
            if synced:
                with target.open("rb") as file:
                    os.fsync(file.fileno())
            subprocess.run(["sha256sum", target], check=True, stdout=subprocess.DEVNULL)
            target.unlink()

        def log_new() -> None:
            with source.open("r+b") as file:  # other bytes each time, or the store would not write them
                file.write(next(numbers).to_bytes(8, "little"))
            training.log_artifact(source, "model.bin")
            before.append(size_of(store.path / "objects"))

        before: list[int] = []
        taken = in_turns(
            {
                "new": log_new,
                "again": lambda: training.log_artifact(source, "model.bin"),
                "cp": lambda: copy(synced=False),
                "cp synced": lambda: copy(synced=True),
            },
            min(scale.repeats, 3),
        )
        extra = size_of(store.path / "objects") - before[-1]
        speed = scale.file_bytes / (1 << 20)
    new, again, plain, synced = (taken[name] for name in ("new", "again", "cp", "cp synced"))
    return [
        Figure(
            "a new file as artifact / cp + sha256sum", new / plain, 1.5, "lower",
            f"{new:.2f} s ({speed / new:.0f} MiB/s) / {plain:.2f} s",
        ),
        Figure(
            "a new file as artifact / cp + sync + sha256sum", new / synced, None, "lower",
            f"{new:.2f} s / {synced:.2f} s",
        ),
        Figure(
            "the same file again / cp + sha256sum", again / plain, None, "lower",
            f"{again:.2f} s ({speed / again:.0f} MiB/s) / {plain:.2f} s",
        ),
        Figure("the same file again, extra bytes / its size", extra / scale.file_bytes, 0, "lower", f"{extra} bytes"),
    ]  # fmt: skip


def _fill(path: Path, size: int) -> None:
    random = np.random.default_rng(0)
    with path.open("wb") as file:
        for start in range(0, size, _BLOCK):
            file.write(random.bytes(min(_BLOCK, size - start)))
