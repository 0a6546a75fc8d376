from __future__ import annotations

import pytest

from rootless.errors import RootlessError, UsageError
from rootless.network.choice import Choice, choose


@pytest.fixture
def path(tmp_path):
    """A search path on which `path(*names)` are the only programs."""

    def make(*names: str) -> str:
        for name in names:
            (tmp_path / name).write_text("#!/bin/sh\n")
            (tmp_path / name).chmod(0o755)
        return f"/nonexistent:{tmp_path}"

    return make


def test_pasta_is_preferred(path, tmp_path):
    chosen = choose("", path("pasta", "slirp4netns"), tun=True)
    assert chosen == Choice("pasta", str(tmp_path / "pasta"))


@pytest.mark.parametrize("requested", ["", "default", "bridge"])
def test_then_slirp4netns(path, tmp_path, requested):
    chosen = choose(requested, path("slirp4netns"), tun=True)
    assert chosen == Choice("slirp4netns", str(tmp_path / "slirp4netns"))


def test_then_the_host_with_a_note(path):
    chosen = choose("", path(), tun=True)
    assert (chosen.mode, chosen.program) == ("host", "")
    assert "pasta (package passt)" in chosen.note
    assert "/dev/net/tun" in choose("", path("pasta"), tun=False).note


@pytest.mark.parametrize("requested", ["none", "host"])
def test_no_program_no_question(path, requested):
    assert choose(requested, path("pasta"), tun=True) == Choice(requested)


@pytest.mark.parametrize(("program", "package"), [("pasta", "passt"), ("slirp4netns",) * 2])
def test_a_missing_program_names_its_package(path, program, package):
    with pytest.raises(RootlessError, match=f"needs the program {program}") as caught:
        choose(program, path(), tun=True)
    assert f"install the package {package}" in caught.value.hint


def test_a_missing_tun_device(path):
    with pytest.raises(RootlessError, match="/dev/net/tun"):
        choose("pasta", path("pasta"), tun=False)


def test_an_unknown_name(path):
    with pytest.raises(UsageError, match="no network called 'lan'") as caught:
        choose("lan", path(), tun=True)
    assert "none, host, pasta, slirp4netns" in caught.value.hint
