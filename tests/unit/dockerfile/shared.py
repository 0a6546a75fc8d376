"""BuildKit's and patternmatcher's own test data, which lies beside the project; fuzz settings."""

from pathlib import Path

import pytest
from hypothesis import settings

SHARED = Path(__file__).parents[4] / "shared" / "data"
BUILDKIT = SHARED / "buildkit/frontend/dockerfile"
PATTERNS = SHARED / "patternmatcher/tables.json"

needs_shared = pytest.mark.skipif(not SHARED.is_dir(), reason=f"{SHARED} is not there")
fuzz = settings(database=None, deadline=None)


def lines(path: Path) -> list[str]:
    return path.read_text("utf-8").split("\n") if path.is_file() else []


def folders(path: Path) -> list[Path]:
    return sorted(path.iterdir()) if path.is_dir() else []
