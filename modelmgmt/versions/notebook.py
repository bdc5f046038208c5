"""The cells that were executed in this IPython session, in their order."""

from __future__ import annotations

import sys
from typing import Any

PATH = "cells.ipy"
"""Where they are in the tree: a script that IPython runs, magics and all."""


def executed_cells() -> list[str] | None:
    """The text of every cell that was executed, this one included; None outside IPython.

    Nothing is imported: where IPython is not loaded there are no cells.
    """
    ipython: Any = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None and hasattr(ipython, "get_ipython") else None
    history = getattr(shell, "history_manager", None)
    if history is None:
        return None
    # The list begins with an empty place, so that its numbers are those of the prompts.
    return [str(cell) for cell in history.input_hist_raw[1:]]


def as_script(cells: list[str]) -> bytes:
    """One script with a mark above each cell.

    >>> as_script(["x = 1", "print(x)"]).decode().splitlines()
    ['# In[1]:', 'x = 1', '', '# In[2]:', 'print(x)', '']
    """
    parts = [f"# In[{number}]:\n{cell.rstrip()}\n\n" for number, cell in enumerate(cells, start=1)]
    return "".join(parts).encode("utf-8", "surrogatepass")
