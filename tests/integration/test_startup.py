"""What the hot verbs really load, with a store and an image: start-up is a feature."""

from __future__ import annotations

import subprocess
import sys

import pytest

from rootless.cli.table.run import READERS
from tests.support.machine import PROJECT
from tests.unit.test_architecture import SLOW

pytestmark = pytest.mark.needs("userns", "overlay")
DOCKERFILE = "FROM busybox\nRUN echo hello > /greeting\nENV NAME=world\n"


def _loaded(rootless, *argv, stdin: str = "") -> set[str]:
    """What a command imports, and the packages of it, in its own process and in those it forks.

    Without site-packages: what a hot verb needs must not be there at all.
    """
    start = f"import sys; sys.path.insert(0, {str(PROJECT)!r}); from rootless.cli.main import main;"
    command = [sys.executable, "-I", "-S", "-X", "importtime", "-c", start + "sys.exit(main())"]
    whole = [*command, "--root", str(rootless.root), *argv]
    answer = subprocess.run(whole, input=stdin, capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr[-2000:]
    lines = [line for line in answer.stderr.splitlines() if line.startswith("import time:")]
    names = {line.rpartition("|")[2].strip() for line in lines}
    return names | {name.partition(".")[0] for name in names}


@pytest.fixture
def ready(rootless, busybox_image, tmp_path):
    rootless.load(busybox_image, tmp_path)
    return rootless


# A connection and the threads of a transfer need some of what other verbs do without.
TRANSFER = {"contextlib", "enum", "http", "signal", "socket", "threading"}


@pytest.mark.needs("registry")
def test_a_transfer_of_what_is_there_loads_nothing_slow(ready, registry):
    name = f"{registry.address}/startup:1"
    ready.ok("tag", "busybox", name)
    ready.ok("push", "-q", name)
    ready.ok("rmi", "busybox", name)
    ready.ok("pull", "-q", name)
    for verb in ("push", "pull"):
        loaded = _loaded(ready, verb, name)
        assert sorted(loaded & (SLOW | {"http.client", "tomllib"}) - TRANSFER) == [], verb


@pytest.mark.parametrize(
    "argv",
    [
        ("images",),
        ("run", "--rm", "--network", "none", "busybox", "true"),
        pytest.param(
            ("run", "--rm", "busybox", "true"), marks=pytest.mark.needs("network"), id="run"
        ),
    ],
    ids=" ".join,
)
def test_a_verb_loads_nothing_slow(ready, argv):
    assert sorted(_loaded(ready, *argv) & SLOW) == []


# What reads flags that are not given here, or serves verbs that are not asked for.
ELSEWHERE = {
    *("collections", "functools"),
    *("rootless.archive", "rootless.build", "rootless.dockerfile", "rootless.registry"),
    *(f"rootless.cli.{module}" for module in READERS),
    *("rootless.cli.attach", "rootless.cli.words", "rootless.container.leftovers"),
    *("rootless.network.bridge", "rootless.network.holder", "rootless.network.membership"),
    *("rootless.sandbox.explain", "rootless.sandbox.limits", "rootless.sandbox.profile"),
    *("rootless.store.volumes", "rootless.container.volumes", "rootless.container.pods"),
}
MOST = {"run": 101, "run -d": 103, "exec": 69}
"""Modules of ours that they load, a quarter of a millisecond each. Less is better."""


def _check(loaded: set[str], verb: str) -> None:
    assert sorted(loaded & (SLOW | ELSEWHERE)) == []
    ours = sorted(name for name in loaded if name.startswith("rootless."))
    assert len(ours) <= MOST[verb], ours


def test_a_plain_run_loads_no_more_than_it_needs(ready):
    _check(_loaded(ready, "run", "--rm", "--network", "none", "busybox", "true"), "run")


@pytest.mark.parametrize(
    ("flags", "module"),
    [
        (("-e", "A=1"), "environment"),
        (("-l", "a=1"), "environment"),
        (("--no-healthcheck",), "run_health"),
        (("--read-only-tmpfs",), "run_isolation"),
        (("--cgroups", "disabled"), "run_limits"),
        (("--log-opt", "max-file=2"), "run_logging"),
        (("--tmpfs", "/x"), "run_mounts"),
    ],
)
def test_what_reads_a_flag_is_loaded_with_it(ready, flags, module):
    loaded = _loaded(ready, "run", "--rm", "--network", "none", *flags, "busybox", "true")
    expected = {f"rootless.cli.{module}"}
    assert loaded & {f"rootless.cli.{one}" for one in READERS} == expected


def test_a_detached_run_and_exec_load_no_more_than_they_need(ready):
    detached = ("run", "-d", "--network", "none", "--name", "still", "busybox", "sleep", "100000")
    try:
        _check(_loaded(ready, *detached), "run -d")
        # `exec` has few flags: all of its words are read by the same module
        _check(_loaded(ready, "exec", "still", "true") - {"rootless.cli.environment"}, "exec")
    finally:
        ready.ok("rm", "-f", "still")


def test_a_cached_build_loads_nothing_slow(ready, tmp_path):
    (tmp_path / "context").mkdir()
    build = ("build", "-t", "greeting", "-f", "-", str(tmp_path / "context"))
    ready.ok(*build, stdin=DOCKERFILE)
    keys = {"hashlib"}  # 2 ms, and a step's key is a sha256
    assert sorted(_loaded(ready, *build, stdin=DOCKERFILE) & SLOW - keys) == []
