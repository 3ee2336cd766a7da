"""Numbers as jsonb gives them back, so that a digest taken before the write holds after it."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, cast

import msgspec

__all__ = ["settled"]


def settled(value: Any) -> Any:
    """The JSON value as it will be read back from a jsonb column.

    PostgreSQL keeps numbers as decimals: `1e16` comes back as `10000000000000000`, `-0.0` as `0.0`.
    """
    if isinstance(value, float):
        # `+ 0.0` turns -0.0 into 0.0.
        return msgspec.json.decode(format(Decimal(repr(value + 0.0)), "f"))
    if isinstance(value, list):
        return [settled(item) for item in cast("list[Any]", value)]
    if isinstance(value, dict):
        return {key: settled(item) for key, item in cast("dict[str, Any]", value).items()}
    return value
