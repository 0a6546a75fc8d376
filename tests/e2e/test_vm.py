"""What only a whole machine has, in a stock Debian under qemu: see tests/support/vm.py.

The tests that need a delegated cgroup run inside it, as an ordinary user who has logged in.
"""

import re
import sys

import pytest

from tests.support import vm

pytestmark = pytest.mark.needs("vm")

_PROMISED = "ROOTLESS_REQUIRE=delegation,userns,subids,overlay,busybox"
_INSIDE = ("tests/integration/test_cgroup.py",)


@pytest.fixture(scope="module")
def debian():
    with vm.Machine() as machine:
        yield machine


def test_its_user_has_a_session_with_a_delegated_cgroup(debian):
    assert debian.ok("id -u").strip() == "1000"
    assert "6.1." in debian.ok("uname -r")
    session = debian.ok("cat /proc/self/cgroup")
    assert re.fullmatch(r"0::/user\.slice/user-1000\.slice/session-c?\d+\.scope\n", session)
    assert "✓ cgroup:" in debian.ok("rootless doctor")


def test_limits_hold_there(debian):
    """All tests that need delegation, as they are run on a machine that has it."""
    pytest = "python3 -m pytest -q -p no:cacheprovider"
    code, written = debian.run(f"{_PROMISED} {pytest} {' '.join(_INSIDE)}", timeout=400)
    sys.stdout.write(written)
    assert code == 0, written
    assert re.search(r"\d+ passed", written)


def test_it_says_how_a_command_ended(debian):
    assert debian.run("echo gone; exit 7") == (7, "gone\n")
    assert debian.run("kill -9 $$")[0] == 137
    code, written = debian.run("sleep 1000", timeout=2)
    assert code == 137 and "ended after 2 s" in written
