"""What can go wrong with the database, for a flush to decide what to do."""

from __future__ import annotations

__all__ = ["RefusedError", "StoreError", "UnavailableError"]


class StoreError(Exception):
    """A batch was not stored, and nothing of it was."""


class UnavailableError(StoreError):
    """The database is away, busy or not migrated yet: the same batch may pass later."""


class RefusedError(StoreError):
    """The database refuses a value of the batch: the same batch will never pass."""
