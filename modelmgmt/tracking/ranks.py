"""Which process of a distributed training this is, as its launcher has told it by the environment."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass

from modelmgmt.store.process import current

_VARIABLES = (
    ("RANK", "WORLD_SIZE", "LOCAL_RANK"),  # torchrun, accelerate, deepspeed
    ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_RANK"),
    ("PMI_RANK", "PMI_SIZE", "MPI_LOCALRANKID"),
    ("SLURM_PROCID", "SLURM_STEP_NUM_TASKS", "SLURM_LOCALID"),  # of a step: a batch script runs alone
)
_of_a_rank = re.compile(r"rank[1-9]\d*/").match


@dataclass(frozen=True, slots=True)
class Rank:
    """One process of several."""

    rank: int
    local_rank: str
    """Its number on its machine; empty where the launcher does not say."""
    world_size: int
    """How many processes the launcher has started."""


def here() -> Rank | None:
    """The rank of this process; None for one process alone. The first launcher that says anything decides."""
    for names in _VARIABLES:
        rank, size, local = (os.environ.get(name, "").strip() for name in names)
        if rank.isdecimal() and size.isdecimal():
            return Rank(int(rank), local if local.isdecimal() else "", int(size)) if int(size) > 1 else None
    return None


def tags(*, is_shared: bool) -> dict[str, str]:
    """How a run tells its ranks: its own one, or, where several share it, the machine of each."""
    rank = here()
    if rank is None:
        return {}
    if is_shared:
        return {f"rank{rank.rank}": current().host, "world_size": str(rank.world_size)}
    own = {"rank": str(rank.rank), "local_rank": rank.local_rank, "world_size": str(rank.world_size)}
    return {key: value for key, value in own.items() if value}


def prefix() -> str:
    """What the names of metrics begin with where ranks share a run, so that they are told apart: nothing for rank 0.

    A subprocess of a rank has `$MODELMGMT_RANK` from `run.variables()`, and logs as the process that started it.
    """
    told = os.environ.get("MODELMGMT_RANK", "").strip()
    rank = here()
    number = int(told) if told.isdecimal() else rank.rank if rank is not None else 0
    return f"rank{number}/" if number > 0 else ""


def prefix_in(tags: Mapping[str, str]) -> str:
    """`prefix` in a run with these tags: nothing in a rank's own run, which has its number as a tag."""
    return "" if "rank" in tags else prefix()


def number_of(prefix: str) -> str:
    """The number in what `prefix` gave.

    >>> number_of("rank3/"), number_of("")
    ('3', '0')
    """
    return prefix.removeprefix("rank").removesuffix("/") or "0"


def is_own(key: str, prefix: str) -> bool:
    """Whether a metric is of the rank whose metrics have this prefix: where there are ranks, each counts its own steps."""
    if prefix:
        return key.startswith(prefix)
    return here() is None or _of_a_rank(key) is None
