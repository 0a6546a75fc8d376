"""Whether a foreign program runs is found by running one."""

from __future__ import annotations

import pytest

from rootless import dockerfile
from rootless.build.plan import stages
from rootless.cli import emulation
from rootless.errors import RootlessError
from rootless.oci.platform import Platform

ALIEN = Platform("linux", "alpha")  # for which nobody has an emulator, and we no program
OTHER = Platform("linux", "s390x")


def plan(text, platform):
    return stages.plan(dockerfile.parse(text.encode(), "Dockerfile"), {}, platform)


def test_this_machines_programs_run():
    known = emulation._PROGRAMS.get(Platform.host().architecture)
    if known is None:
        pytest.skip("there is no program for this processor")
    assert emulation._runs(known, emulation._FLAGS.get(Platform.host().architecture, 0))


def test_a_program_that_is_none_does_not_run():
    machine, bits, order, code = emulation._PROGRAMS["amd64"]
    assert not emulation._runs((machine ^ 0xFF00, bits, order, code), 0)


def test_only_commands_need_an_emulator(monkeypatch):
    monkeypatch.setattr(emulation, "_runs", lambda *_: False)
    emulation.check([plan("FROM scratch\nCOPY a /\nENV A=b\n", OTHER)])
    emulation.check([plan("FROM x AS unused\nRUN a\nFROM scratch\nCOPY a /\n", OTHER)])
    emulation.check([plan("FROM --platform=$BUILDPLATFORM x AS b\nRUN a\nFROM scratch\n"
                          "COPY --from=b a /\n", OTHER)])  # fmt: skip
    with pytest.raises(RootlessError) as caught:
        emulation.check([plan("FROM x\nENV A=b\nRUN a\n", OTHER)])
    assert "RUN of linux/s390x cannot be carried out here: the kernel knows no emulator" in str(
        caught.value
    )
    assert "Dockerfile:3" in str(caught.value)
    assert "tonistiigi/binfmt --install s390x" in (caught.value.hint or "")


def test_an_emulator_that_a_sandbox_cannot_find(monkeypatch, tmp_path):
    (tmp_path / "status").write_text("enabled\n")
    (tmp_path / "qemu-s390x").write_text(
        "enabled\ninterpreter /usr/bin/qemu\nflags: OC\noffset 0\n"
        "magic 7f454c4602020100000000000000000000020016\n"
    )
    monkeypatch.setattr(emulation, "_runs", lambda *_: True)
    monkeypatch.setattr(emulation, "_KNOWN", str(tmp_path))
    with pytest.raises(RootlessError, match="/usr/bin/qemu is registered without the flag F"):
        emulation.check([plan("FROM x\nRUN a\n", OTHER)])
    text = (tmp_path / "qemu-s390x").read_text()
    (tmp_path / "qemu-s390x").write_text(text.replace("OC", "OCF"))
    emulation.check([plan("FROM x\nRUN a\n", OTHER)])


def test_what_nobody_can_try_is_left_to_the_kernel():
    emulation.check([plan("FROM x\nRUN a\n", ALIEN)])
