"""Killing the command ends the container, whatever the container has made of itself."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess

import pytest

from tests.support import images, machine
from tests.support.processes import some_seconds, wait_until, wait_until_gone, with_word

pytestmark = pytest.mark.needs("userns", "subids", "overlay", "busybox")

RUN = ("run", "--rm", "-e", "PATH=/bin")
UNTIE = """
#include <sys/prctl.h>
#include <unistd.h>
int main(int count, char **words) {
    prctl(PR_SET_PDEATHSIG, 0); setsid(); setuid(1000); setuid(0);
    execv(words[1], words + 1); return 9;
}
"""


def begun(marker: str, count: int) -> None:
    wait_until(lambda: len(with_word(marker)) >= count, f"{count} times sleep {marker}")


@pytest.fixture
def image(rootless, tmp_path):
    program = machine.static_busybox().read_bytes()
    links = dict.fromkeys(("bin/sh", "bin/sleep", "bin/su", "bin/setsid"), "busybox")
    plain = {"bin/": b"", "bin/busybox": program, "proc/": b"", "etc/": b"", **links}
    plain["etc/passwd"] = b"root:x:0:0::/:/bin/sh\nuser:x:1000:1000::/:/bin/sh\n"
    layers = [
        images.layer(plain),
        images.layer({"suid/": b"", "suid/busybox": program}, mode=0o4755),
    ]
    if compiler := shutil.which("gcc"):
        (tmp_path / "untie.c").write_text(UNTIE)
        command = [compiler, "-static", "-o", tmp_path / "untie", tmp_path / "untie.c"]
        if subprocess.run(command, capture_output=True, check=False).returncode == 0:
            content = {"untie": (tmp_path / "untie").read_bytes()}
            layers.append(images.layer(content, mode=0o755))
    return rootless.load(images.write_layout(tmp_path / "image", "ties:1", layers), tmp_path)


@pytest.fixture
def marker():
    return some_seconds()


WAYS = {
    "nothing": ((), "exec sleep N"),
    "many": ((), "sleep N & setsid sleep N & (setsid sh -c 'sleep N & sleep N' &) ; exec sleep N"),
    "changes ids": ((), "exec su -s /bin/sh user -c 'exec sleep N'"),
    "setuid": (("-u", "1000"), "exec /suid/busybox sleep N"),
    "under init": (("--init", "-u", "1000"), "exec /suid/busybox sleep N"),
    "unties": ((), "exec /untie /bin/sleep N"),
    "sees the host's": (
        ("--pid", "host"),
        "sleep N & setsid sleep N & (setsid sh -c 'sleep N & sleep N' &) ; exec sleep N",
    ),
}


@pytest.mark.parametrize("way", list(WAYS))
def test_the_container_ends_with_the_command(rootless, image, marker, way):
    flags, script = WAYS[way]
    if "/untie" in script:
        machine.require("gcc")
    argv = (*RUN, "--network", "none", *flags, image, "sh", "-c", script.replace("N", marker))
    with subprocess.Popen(rootless.command(*argv), env=rootless.environment) as running:
        begun(marker, script.count("sleep N"))
        running.kill()
        running.wait(120)
        wait_until_gone(marker)


def test_it_ends_with_the_commands_session(rootless, image, marker):
    argv = (*RUN, "--network", "none", image, "sh", "-c", f"setsid sleep {marker} & exec su -s "
            f"/bin/sh user -c 'exec sleep {marker}'")  # fmt: skip
    with subprocess.Popen(
        ["sh", "-c", '"$@"; :', "sh", *rootless.command(*argv)],
        env=rootless.environment, start_new_session=True,
    ) as shell:  # fmt: skip
        begun(marker, 2)
        os.killpg(shell.pid, signal.SIGKILL)
        shell.wait(120)
        wait_until_gone(marker)


@pytest.mark.needs("pasta", "network")
def test_it_ends_behind_pasta_and_pasta_too(rootless, image, marker):
    script = f"exec su -s /bin/sh user -c 'exec sleep {marker}'"
    argv = (*RUN, "--network", "pasta", image, "sh", "-c", script)
    with subprocess.Popen(rootless.command(*argv), env=rootless.environment) as running:
        begun(marker, 1)
        running.kill()
        running.wait(120)
        wait_until_gone(marker)


@pytest.fixture
def never_ready(rootless, tmp_path, marker):
    """An environment whose pasta sleeps."""
    (tmp_path / "programs").mkdir()
    program = tmp_path / "programs" / "pasta"
    program.write_text(f"#!/bin/sh\nexec /bin/sleep {marker}\n")
    program.chmod(0o755)
    return {**rootless.environment, "PATH": f"{program.parent}:{os.environ['PATH']}"}


@pytest.mark.needs("pasta", "network")
def test_a_network_that_is_begun_ends_with_its_command(rootless, image, marker, never_ready):
    argv = rootless.command(*RUN, "--network", "pasta", image, "true")
    with subprocess.Popen(argv, env=never_ready) as running:
        begun(marker, 1)
        running.kill()
        running.wait(120)
        wait_until_gone(marker)


@pytest.mark.needs("pasta", "network")
def test_a_network_that_is_begun_ends_without_a_container(rootless, image, marker, never_ready):
    rootless.ok("create", "--name", "taken", image)
    argv = (*RUN, "--network", "pasta", "--name", "taken", image, "true")
    assert "is already in use" in rootless(*argv, env=never_ready).stderr
    wait_until_gone(marker)


@pytest.mark.parametrize("stages", [1, 2])
def test_a_step_ends_with_its_build(rootless, image, marker, tmp_path, stages):
    """Also where each stage is built by a process of its own."""
    context = tmp_path / "context"
    context.mkdir()
    step = f"setsid sleep {marker} & exec su -s /bin/sh user -c 'exec sleep {marker}'\n"
    lines = "".join(f"FROM {image} AS s{n}\nRUN : {n}; {step}" for n in range(stages))
    lines += f"FROM {image}\n" + "".join(f"COPY --from=s{n} /bin/sh /x{n}\n" for n in range(stages))
    (context / "Dockerfile").write_text(lines)
    argv = rootless.command("build", "-q", context)
    with subprocess.Popen(argv, env=rootless.environment) as running:
        begun(marker, 2 * stages)
        running.kill()
        running.wait(120)
        wait_until_gone(marker)
