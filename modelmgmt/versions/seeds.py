"""The states of the random generators of this process, when its first run starts: kept, and put back to run it again.

Only what is loaded by then is asked: `random`, numpy, torch.
"""

from __future__ import annotations

import base64
import json
import os
import sys
from contextlib import suppress
from typing import Any

from modelmgmt.errors import CorruptDataError
from modelmgmt.versions.environment import check_format

FORMAT = "modelmgmt.seeds/1"
HASH_SEED = "PYTHONHASHSEED"

_taken: list[int] = []


def at_first_run() -> dict[str, Any] | None:
    """The states as of now; None when this process has been asked before."""
    if os.getpid() in _taken:
        return None
    _taken[:] = [os.getpid()]
    imported = sorted({name.partition(".")[0] for name in sys.modules.copy()} - sys.stdlib_module_names)
    return {"format": FORMAT, "hash_seed": os.environ.get(HASH_SEED), "imported": imported, **_states()}


def forget_first_run() -> None:
    """The first run of this process was none: the next one is."""
    _taken.clear()


def encode(states: dict[str, Any]) -> bytes:
    """As JSON."""
    return json.dumps(states, separators=(",", ":"), sort_keys=True).encode()


def decode(data: bytes) -> dict[str, Any]:
    """What `encode` wrote. Raises CorruptDataError."""
    try:
        content = json.loads(data)
        check_format(content["format"], FORMAT)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise CorruptDataError(f"These bytes are no states of random generators ({error}).") from error
    return dict(content)


def restore(states: dict[str, Any]) -> None:
    """Put the generators into these states."""
    if states.get("random"):
        import random

        version, numbers, gauss = states["random"]
        random.setstate((version, tuple(numbers), gauss))
    _restore_numpy(states.get("numpy"))
    _restore_torch(states.get("torch"))


def _states() -> dict[str, Any]:
    found: dict[str, Any] = {}
    random: Any = sys.modules.get("random")
    if random is not None:
        found["random"] = random.getstate()
    numpy: Any = sys.modules.get("numpy")
    if numpy is not None:
        # numpy loads this part when it is first asked for: later would be to miss the state that it begins with.
        name, keys, position, has_gauss, cached = numpy.random.get_state()
        found["numpy"] = [name, keys.tolist(), position, has_gauss, cached]
    torch: Any = sys.modules.get("torch")
    with suppress(AttributeError, RuntimeError):  # a module of that name may be anything, or half loaded
        found["torch"] = base64.b64encode(bytes(torch.get_rng_state().tolist())).decode("ascii")
    return found


def _restore_numpy(state: list[Any] | None) -> None:
    if state is None:
        return
    import numpy as np

    name, keys, position, has_gauss, cached = state
    np.random.set_state(  # noqa: NPY002 - it is the one that scripts which seed nothing use
        (name, np.array(keys, np.uint32), position, has_gauss, cached)
    )


def _restore_torch(state: str | None) -> None:
    torch: Any = sys.modules.get("torch")
    if state is not None and torch is not None:
        torch.set_rng_state(torch.tensor(list(base64.b64decode(state)), dtype=torch.uint8))
