"""A wheel carries the dashboard: refuse to build one without it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class CustomBuildHook(BuildHookInterface[Any]):
    """Runs before the files of a wheel are collected."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Look for the built page; an editable install finds it later.

        Raises:
            FileNotFoundError: the dashboard is not built.
        """
        del build_data
        page = Path(self.root) / "config_service/static/index.html"
        if self.target_name == "wheel" and version != "editable" and not page.exists():
            raise FileNotFoundError(f"{page} is missing: run `make dashboard` first")
