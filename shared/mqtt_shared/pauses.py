"""The pauses of the garbage collector."""

from __future__ import annotations

import gc

__all__ = ["freeze_imported"]


def freeze_imported() -> None:
    """Have the garbage collector never again look at what is there now. For commands, once they are built.

    A full collection looks at every object while all else stands still, and a new configuration of many
    subscriptions brings one about. Nearly all objects are those of imported modules, which stay anyway.
    """
    gc.collect()
    gc.freeze()
