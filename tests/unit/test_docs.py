"""The documentation names things that exist: files, tests and verbs."""

import re
from pathlib import Path

import pytest

from rootless.cli import table

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
VERBS = {name.split(" ")[0] for name in (*table.MODULES, *table.ALIASES)}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    links = re.findall(r"\]\(([^)#]+)\)", page.read_text())
    missing = [one for one in links if "://" not in one and not (page.parent / one).exists()]
    assert missing == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_shown_are_commands(page):
    shown = re.findall(r"^\$ rootless ([a-z]+)", page.read_text(), re.MULTILINE)
    assert set(shown) <= VERBS


def test_the_five_minutes_are_what_the_course_plays():
    """tests/e2e/test_courses.py types them; `ps` finds the container that it commits."""
    section = (ROOT / "README.md").read_text().partition("## Five minutes")[2].partition("\n## ")[0]
    typed = set(re.findall(r"\brootless ([a-z]+)", section)) - {"ps"}
    played = (ROOT / "tests/corpus/courses/images.md").read_text()
    assert len(typed) >= 12
    assert typed <= set(re.findall(r"\bdocker ([a-z]+)", played))


def test_every_promise_names_tests_that_exist():
    text = (ROOT / "docs/security.md").read_text()
    rows = [row for row in text.splitlines() if row.startswith("| ") and "promise" not in row]
    assert rows
    for row in rows:
        held_by = row.split(" | ")[1]
        files = re.findall(r"`((?:unit|integration|e2e|support)/\S+\.py)`", held_by)
        assert files or "the same" in held_by, row
        source = "".join((ROOT / "tests" / one).read_text() for one in files)
        for name in re.findall(r"`(\w+)…?`", held_by):
            assert f"def test_{name}" in source, name
