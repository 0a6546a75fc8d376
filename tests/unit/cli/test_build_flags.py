"""docs/build-flags.md and the table of flags say the same of every flag of docker and podman."""

from __future__ import annotations

import re

import pytest

from rootless.cli import parser
from rootless.cli.table.build import BUILD
from rootless.errors import UsageError
from tests.support.machine import PROJECT

PAGE = (PROJECT / "docs" / "build-flags.md").read_text()
ROWS = re.findall(r"^\| (`-.+?) \| (yes|accepted|no) \|", PAGE, re.MULTILINE)
SAID = {flag: verdict for flags, verdict in ROWS for flag in re.findall(r"`(-[^`]+)`", flags)}
OURS = {name: option for option in BUILD.options for name in option.names}
THEIRS = sorted(
    {
        flag
        for peer in ("docker", "podman")
        for flag in (PROJECT / "tests" / "corpus" / "flags" / f"{peer}-build").read_text().split()
    }
)


@pytest.mark.parametrize("flag", [one for one in THEIRS if one.startswith("--")])
def test_the_page_tells_of_each_flag(flag):
    assert flag in SAID, f"{flag} has no row in docs/build-flags.md"
    assert (flag in OURS) == (SAID[flag] != "no"), f"docs/build-flags.md: {flag} {SAID[flag]}"


@pytest.mark.parametrize("flag", THEIRS)
def test_none_is_unknown(flag):
    """Short ones too: what is refused is refused by its name."""
    if flag in OURS:
        return
    with pytest.raises(UsageError) as raised:
        parser.parse(BUILD, [flag, "."])
    assert f"does not support {flag}" in raised.value.message


def test_the_page_names_no_flag_that_nobody_has():
    assert [flag for flag in SAID if flag not in THEIRS and flag not in OURS] == []
    only_here = re.findall(r"`(--[^`]+)`", PAGE.rpartition("Only here")[2])
    assert set(only_here) <= set(OURS)
    assert not set(only_here) & set(THEIRS)
