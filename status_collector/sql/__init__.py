"""SQL in files: `-- name: x` begins statement `x`, the comment after it describes it."""

from __future__ import annotations

import re
from pathlib import Path

__all__ = ["load"]

_NAME = re.compile(r"^-- name: (\w+)\n", re.MULTILINE)


def load(name: str) -> dict[str, str]:
    """The statements of `name`.sql."""
    text = (Path(__file__).parent / f"{name}.sql").read_text(encoding="utf-8")
    _, *parts = _NAME.split(text)
    return dict(zip(parts[::2], (body.strip() for body in parts[1::2]), strict=True))
