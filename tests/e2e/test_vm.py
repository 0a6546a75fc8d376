"""What only a whole machine has, in each Debian of vagrant/matrix.json: see tests/support/vm.py.

Its user has logged in, so systemd delegates a cgroup to them: the tests that need one run inside
it. It is one test a machine, for each has one to wait for.
"""

import json
import re
import shlex
import sys
import time
from typing import Any

import pytest

from tests.support import vm

_INSIDE = ("tests/integration/test_cgroup.py", "tests/e2e/test_run_limits.py")
_IMAGE = """python3 -c '
from pathlib import Path
from tests.support import images
images.busybox(Path("/tmp/image")).archive(Path("/tmp/image.tar"))
' && rootless load -i /tmp/image.tar
"""
_UNIT = """
mkdir -p ~/.config/systemd/user && cd ~/.config/systemd/user &&
rootless generate systemd --files --name web && systemctl --user daemon-reload &&
systemctl --user enable --now container-web
"""
_WAITS = "trap 'echo asked; exit 0' TERM; echo up; while :; do sleep 1; done"
_PYTEST = (
    "ROOTLESS_REQUIRE=delegation,userns,subids,overlay,busybox "
    "python3 -m pytest -q -p no:cacheprovider"
)


_ROWS = vm.rows().values()
_WHOLE = [row.name for row in _ROWS if row.suite and row.rung == 1]
_LESS = [row.name for row in _ROWS if row.suite and row.rung != 1]


@pytest.mark.needs("vm")
@pytest.mark.timeout(vm.LONGEST)
@pytest.mark.parametrize("name", _WHOLE)
def test_limits_hold_in_a_machine_and_a_container_survives_its_reboot(name):
    row = vm.rows()[name]
    with vm.Machine(row) as debian:
        _is_what_it_says(debian)
        _stands_where_it_should(debian, row)
        code, written = debian.run(f"{_PYTEST} {' '.join(_INSIDE)}", timeout=900)
        sys.stdout.write(written)
        assert code == 0, written
        assert re.search(r"\d+ passed", written)
        _runs_after_a_reboot(debian)


@pytest.mark.needs("vm")
@pytest.mark.timeout(vm.LONGEST)
@pytest.mark.parametrize("name", _LESS)
def test_doctor_tells_what_a_machine_lacks(name):
    row = vm.rows()[name]
    with vm.Machine(row) as debian:
        _stands_where_it_should(debian, row)


def _stands_where_it_should(debian: vm.Machine, row: vm.Row) -> None:
    assert debian.ok("uname -r").startswith(row.kernel)
    shown = debian.run("rootless doctor")[1]
    sys.stdout.write(f"{row.name}\n{shown}")
    assert [piece for piece in row.doctor if piece not in shown] == [], shown
    told = json.loads(debian.run("rootless doctor --json")[1])
    assert told["way"]["rung"] == row.rung, shown
    _has_limits_with_a_session(debian, told)


def _has_limits_with_a_session(debian: vm.Machine, told: dict[str, Any]) -> None:
    """su and sudo -u are no logins: doctor says so, and both times nothing is left."""
    assert next(one for one in told["checks"] if one["name"] == "cgroup")["ok"]
    debian.ok("id other || useradd -m other", root=True)
    shown = debian.run("runuser -u other -- sh -c 'cd; rootless doctor'", root=True)[1]
    assert "- cgroup: " in shown
    assert "no limits can be set: the cgroup " in shown
    assert "fix: log in by ssh or at the console, which su and sudo are not" in shown
    left = debian.run("find /sys/fs/cgroup -name 'rootless-doctor*'", root=True)[1]
    assert left == ""


def _runs_after_a_reboot(debian: vm.Machine) -> None:
    debian.ok(_IMAGE)
    debian.ok(
        f"rootless create --name web -m 64m --network none busybox sh -c {shlex.quote(_WAITS)}"
    )
    debian.ok("loginctl enable-linger dev", root=True)
    debian.ok(_UNIT)
    _await_running(debian)
    debian.reboot()
    _await_running(debian)
    told = debian.ok("rootless stats --no-stream --format '{{.MemUsage}}' web")
    assert told.endswith(" / 64MiB\n")
    debian.ok("systemctl --user stop container-web")
    assert _state(debian) == "exited"
    assert debian.ok("rootless logs web").splitlines()[-2:] == ["up", "asked"]
    left = "ls -d /sys/fs/cgroup/user.slice/user-1000.slice/user@1000.service/*/rootless-*"
    assert debian.run(left)[0] == 2


def _await_running(debian: vm.Machine) -> None:
    """systemctl does not wait for it, nor does the login after a reboot."""
    until = time.monotonic() + vm.BOOT
    while (state := _state(debian)) != "running":
        assert time.monotonic() < until, state


def _state(debian: vm.Machine) -> str:
    return debian.ok("rootless inspect -f '{{.State.Status}}' web").strip()


def _is_what_it_says(debian: vm.Machine) -> None:
    assert debian.ok("id -u").strip() == "1000"
    session = debian.ok("cat /proc/self/cgroup")
    assert re.fullmatch(r"0::/user\.slice/user-1000\.slice/session-c?\d+\.scope\n", session)
    assert debian.run("echo gone; exit 7") == (7, "gone\n")
    assert debian.run("kill -9 $$")[0] == 137
    code, written = debian.run("sleep 1000", timeout=2)
    assert code == 137 and "ended after 2 s" in written
