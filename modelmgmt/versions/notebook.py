"""The notebook that this process works for, and the cells that were executed in it, in their order."""

from __future__ import annotations

import os
import re
import sys
from typing import Any

PATH = "cells.ipy"
"""Where they are in the tree: a script that IPython runs, magics and all."""


def executed_cells() -> list[str] | None:
    """The text of every cell that was executed, this one included; None outside IPython.

    Nothing is imported: where IPython is not loaded there are no cells.
    """
    history = getattr(_shell(), "history_manager", None)
    if history is None:
        return None
    # The list begins with an empty place, so that its numbers are those of the prompts.
    return [str(cell) for cell in history.input_hist_raw[1:]]


def notebook_name() -> str | None:
    """The file name of the notebook whose kernel this process is; empty where it is not known, None outside a kernel."""
    shell = _shell()
    if getattr(shell, "kernel", None) is None:
        return None
    # VS Code and Jupyter tell their kernels.
    path = str(shell.user_ns.get("__vsc_ipynb_file__") or os.environ.get("JPY_SESSION_NAME") or "")
    return re.split(r"[/\\]", path)[-1] if path.endswith(".ipynb") else ""


def _shell() -> Any:
    ipython: Any = sys.modules.get("IPython")
    return ipython.get_ipython() if ipython is not None and hasattr(ipython, "get_ipython") else None


def as_script(cells: list[str]) -> bytes:
    """One script with a mark above each cell.

    >>> as_script(["x = 1", "print(x)"]).decode().splitlines()
    ['# In[1]:', 'x = 1', '', '# In[2]:', 'print(x)', '']
    """
    parts = [f"# In[{number}]:\n{cell.rstrip()}\n\n" for number, cell in enumerate(cells, start=1)]
    return "".join(parts).encode("utf-8", "surrogatepass")
