"""What only a whole machine has, in a stock Debian under qemu: see tests/support/vm.py.

Its user has logged in, so systemd delegates a cgroup to them: the tests that need one run inside
it. It is one test, for each has a machine to wait for.
"""

import re
import sys

import pytest

from tests.support import vm

_INSIDE = ("tests/integration/test_cgroup.py",)
_PYTEST = (
    "ROOTLESS_REQUIRE=delegation,userns,subids,overlay,busybox "
    "python3 -m pytest -q -p no:cacheprovider"
)


@pytest.mark.needs("vm")
@pytest.mark.timeout(vm.LONGEST)
def test_limits_hold_in_a_debian_machine():
    with vm.Machine() as debian:
        _is_what_it_says(debian)
        code, written = debian.run(f"{_PYTEST} {' '.join(_INSIDE)}", timeout=600)
        sys.stdout.write(written)
        assert code == 0, written
        assert re.search(r"\d+ passed", written)


def _is_what_it_says(debian: vm.Machine) -> None:
    assert debian.ok("id -u").strip() == "1000"
    assert "6.1." in debian.ok("uname -r")
    session = debian.ok("cat /proc/self/cgroup")
    assert re.fullmatch(r"0::/user\.slice/user-1000\.slice/session-c?\d+\.scope\n", session)
    assert "✓ cgroup:" in debian.ok("rootless doctor")
    assert debian.run("echo gone; exit 7") == (7, "gone\n")
    assert debian.run("kill -9 $$")[0] == 137
    code, written = debian.run("sleep 1000", timeout=2)
    assert code == 137 and "ended after 2 s" in written
