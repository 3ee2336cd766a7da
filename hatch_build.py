"""A wheel carries the dashboard, if it is built: say so when it is not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class CustomBuildHook(BuildHookInterface[Any]):
    """Runs before the files of a wheel are collected."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Look for the built page. Those who embed the library need none, nor Node.js to build it."""
        del build_data
        page = Path(self.root) / "config_service/static/index.html"
        if self.target_name == "wheel" and version != "editable" and not page.exists():
            self.app.display_warning("without the dashboard: `make dashboard` builds it")
