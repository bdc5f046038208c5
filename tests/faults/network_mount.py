"""Write to one store from two machines, over a file system that is a network's, and kill the writers. Root, on Linux.

    python tests/faults/network_mount.py --kills 100 --seed 1

One folder is mounted twice by sshfs, whose other end is an sftp server on a socket: no network and no account is needed.
What uses the one mount has another host name than what uses the other, so that to one another they are processes of
other machines: nobody can see from one whether a process of the other is alive, nor what its kernel has in memory. Two
writers on each machine write all at once (`workload.py`, without what is for one machine at a time) and are killed,
again and again, at random moments. Then every acknowledged write must be there, exactly once and with its value, and the
deep check must find nothing.

This is done on mounts that cache what sshfs caches by itself (attributes for 20 s, told by the second), and on mounts
without any cache.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import os
import random
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from torture import kill_writer
from workload import Report, compare, ops, take_stock

import modelmgmt as mm

OPTIONS = ("dir_cache=yes", "dir_cache=no,direct_io")
MACHINES = ("one", "one", "other", "other")
SERVERS = ("/usr/lib/openssh/sftp-server", "/usr/libexec/openssh/sftp-server", "/usr/lib/ssh/sftp-server")
NOT_TESTED = 3
MOUNT_S = 60.0  # sshfs ends by itself when it cannot mount, and when it is unmounted

KINDS = {
    "log": 120, "log3": 40, "series": 2, "params": 2, "tags": 2, "note": 2, "text": 2, "table": 2, "folder": 1, "file": 1,
    "pin": 2, "flush": 2, "next": 3,
}  # fmt: skip


class Untestable(Exception):
    """There is no such file system here."""


@contextlib.contextmanager
def mounted(served: Path, place: Path, options: str) -> Iterator[None]:
    """`served`, as a client of an sftp server sees it, at `place`."""
    server = next((path for path in SERVERS if Path(path).exists()), None)
    if server is None or shutil.which("sshfs") is None or shutil.which("unshare") is None:
        raise Untestable("there is no sshfs, sftp-server or unshare here")
    if os.geteuid() != 0 or not Path("/dev/fuse").exists():
        raise Untestable("only root can mount, and only where there is /dev/fuse")
    place.mkdir()
    ours, theirs = socket.socketpair()
    with ours, theirs:
        serving = subprocess.Popen([server], stdin=theirs, stdout=theirs)
        command = ["sshfs", f":{served}", str(place), "-f", "-o", f"passive,{options}"]
        client = subprocess.Popen(command, stdin=ours, stdout=ours)
    try:
        _wait_for(place, client)
        yield
    finally:
        subprocess.run(["umount", str(place)], check=False)
        client.wait(MOUNT_S)
        serving.wait(MOUNT_S)


def _wait_for(place: Path, client: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + MOUNT_S
    while client.poll() is None and time.monotonic() < deadline:
        if place.is_mount():
            return
        time.sleep(0.05)
    raise Untestable("sshfs could not mount")


def as_machine(name: str, *arguments: str) -> subprocess.Popen[str]:
    """This script as a process of a machine of that name."""
    command = ["unshare", "--uts", "sh", "-c", 'hostname "$1" && shift && exec "$@"', "sh", name]
    return subprocess.Popen([*command, sys.executable, __file__, *arguments], stdout=subprocess.PIPE, text=True)


def kill_writers(path: Path, kills: int, seed: int) -> None:
    """On one machine: start a writer and kill it, so many times; prints what the last acknowledged write of each was."""
    rng = random.Random(seed)
    for _ in range(kills):
        worker = rng.randrange(1 << 30)
        print(json.dumps([worker, kill_writer(path, worker, rng, KINDS)]), flush=True)


def torture(kills: int, seed: int, place: Path) -> Report:
    """Kill `kills` writers on both machines together."""
    report = Report()
    for number, options in enumerate(OPTIONS):
        share = kills // 2 if number else kills - kills // 2
        served, mounts = place / f"served-{number}", {name: place / f"{name}-{number}" for name in set(MACHINES)}
        served.mkdir()
        with contextlib.ExitStack() as stack:
            for mount in mounts.values():
                stack.enter_context(mounted(served, mount, options))
            killers = [
                as_machine(name, "--machine", str(mounts[name] / "store"), "--kills", str(-(-share // len(MACHINES))),
                           "--seed", str(seed * 1000 + number * 100 + nth))
                for nth, name in enumerate(MACHINES)
            ]  # fmt: skip
            workers: dict[int, int] = {}
            for killer in killers:
                told, _ = killer.communicate()
                workers |= dict(json.loads(line) for line in told.splitlines())
                if killer.returncode:
                    report.faults.append(f"{options}: a machine gave up")
            for name, mount in mounts.items():  # which alone can tell that its processes are gone
                as_machine(name, "--machine", str(mount / "store"), "--kills", "0").wait()
        judge(served / "store", workers, report)
    return report


def judge(path: Path, workers: dict[int, int], report: Report) -> None:
    """Hold the store, on the disk of the server, against what was acknowledged."""
    report.kills += len(workers)
    report.acknowledged += sum(last + 1 for last in workers.values())
    try:
        found = take_stock(path)
    except RuntimeError as error:
        report.faults.append(f"{path}: {error}")
        return
    report.faults += [*found["problems"], *([found["chain"]] if found["chain"] else [])]
    for worker, last in workers.items():
        done = itertools.islice(ops(worker, KINDS), last + 2)
        compare(found, worker, done, lambda number, _, last=last: number <= last, report)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--machine", type=Path, help="be the machine that writes to the store there")
    chosen = parser.parse_args()
    if chosen.machine:
        kill_writers(chosen.machine, chosen.kills, chosen.seed)
        mm.Store(chosen.machine).close()
        return 0
    place = Path(tempfile.mkdtemp())
    try:
        report = torture(chosen.kills, chosen.seed, place)
    except Untestable as error:
        print(f"not tested: {error}")
        return NOT_TESTED
    for fault in report.faults[:50]:
        print(fault)
    print(
        f"{report.kills} kills of a writer on two machines, {report.acknowledged} acknowledged writes with "
        f"{report.points} points: {len(report.faults)} faults"
    )
    if not report.faults:
        shutil.rmtree(place)
    return 1 if report.faults else 0


if __name__ == "__main__":
    sys.exit(main())
