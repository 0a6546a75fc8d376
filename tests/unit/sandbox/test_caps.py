from __future__ import annotations

from pathlib import Path

import pytest

from rootless.errors import UsageError
from rootless.sandbox import caps


def test_the_default_is_dockers_mask():
    assert caps.mask(caps.DEFAULT) == 0xA80425FB
    assert caps.mask(caps.ALL) == (1 << 41) - 1


def test_numbers_are_those_of_the_kernel_header():
    header = Path("/usr/include/linux/capability.h")
    if not header.exists():
        pytest.skip("no kernel headers here")
    for line in header.read_text().splitlines():
        match line.split():
            case ["#define", name, number] if name.startswith("CAP_") and number.isdigit():
                assert caps.NAMES[int(number)] == name.removeprefix("CAP_")


@pytest.mark.parametrize("spelling", ["NET_ADMIN", "net_admin", "CAP_NET_ADMIN", "cap_net_admin"])
def test_any_spelling_is_understood(spelling):
    assert caps.parse(spelling) == {"NET_ADMIN"}


def test_all_is_every_one():
    assert caps.parse("ALL") == caps.ALL


def test_an_unknown_name_is_a_usage_error():
    with pytest.raises(UsageError, match="no capability is called 'FLY'"):
        caps.parse("FLY")


@pytest.mark.parametrize(
    ("add", "drop", "expected"),
    [
        ((), (), caps.DEFAULT),
        (("ALL",), ("CHOWN",), caps.ALL - {"CHOWN"}),
        (("SYS_ADMIN", "all"), ("CHOWN", "cap_kill"), caps.ALL - {"CHOWN", "KILL"}),
        (("ALL",), ("ALL",), caps.ALL),
        (("ALL",), ("ALL", "CHOWN"), caps.ALL - {"CHOWN"}),
        (("CHOWN",), ("ALL",), {"CHOWN"}),
        (("CHOWN",), ("CHOWN",), caps.DEFAULT),
        (("SYS_ADMIN",), ("SYS_ADMIN", "KILL"), caps.DEFAULT - {"KILL"} | {"SYS_ADMIN"}),
    ],
)
def test_adding_and_dropping_is_as_dockers(add, drop, expected):
    assert caps.chosen(add, drop) == expected
