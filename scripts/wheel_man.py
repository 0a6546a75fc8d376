"""The wheel's build hook: manual pages where man(1) looks for them.

hatchling runs it while it builds a wheel, in a process of its own; pyproject.toml names it.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class ManualPages(BuildHookInterface):  # type: ignore[type-arg]
    """Adds share/man/man1/*.1 to the wheel's data."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Write the pages to a temporary folder and name it in the wheel; an editable has none."""
        if version != "standard":
            return
        sys.path.insert(0, self.root)
        from rootless.cli import man

        self._folder = tempfile.TemporaryDirectory()
        for name, page in man.pages().items():
            Path(self._folder.name, name).write_text(page)
            build_data["shared_data"][f"{self._folder.name}/{name}"] = f"share/man/man1/{name}"

    def finalize(self, version: str, *_: object) -> None:
        """Remove the folder."""
        if version == "standard":
            self._folder.cleanup()
