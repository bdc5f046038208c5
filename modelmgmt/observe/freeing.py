"""Removing the objects of predictions that no row names any more."""

from __future__ import annotations

import time
from collections.abc import Collection
from typing import TYPE_CHECKING

from modelmgmt.store.collect import collect, expanded

if TYPE_CHECKING:
    from modelmgmt.store.kernel import Kernel

NAMED_WITHIN_S = 5.0
"""How long somebody who writes the same bytes may take from their put to the row that names them: a fold, a large batch."""


def free(kernel: Kernel, digests: Collection[str]) -> None:
    """Remove these objects, and those that trees among them name, where no row does any more. Raises StoreWriteError.

    Of what was put a moment ago it waits to see whether somebody is about to name it.
    """
    among = expanded(kernel, digests)
    collect(kernel, grace_s=NAMED_WITHIN_S, among=among)
    young = collect(kernel, grace_s=0.0, dry_run=True, among=among).digests
    if young:
        time.sleep(NAMED_WITHIN_S)
        collect(kernel, grace_s=NAMED_WITHIN_S, among=young)
    kernel.objects.sync({kernel.objects.path(digest).parent for digest in among})
