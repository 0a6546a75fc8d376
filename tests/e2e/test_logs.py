"""`logs`: of containers that run, that have run, that write much or nonsense; compared with what
docker 28 says of the same.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import time

import pytest

from tests.conftest import Rootless
from tests.support import child
from tests.support.processes import wait_until

pytestmark = pytest.mark.needs("userns", "subids", "overlay", "busybox")

RUN = ("run", "--pull=never", "--network=none")
STAMP = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z"


@pytest.fixture(scope="module")
def store(tmp_path_factory, busybox_image):
    folder = tmp_path_factory.mktemp("logs")
    command = Rootless(folder / "store")
    command.load(busybox_image, folder)
    yield command
    command("rm", "-f", *command.ok("ps", "-aq").split())
    child.remove_tree(folder / "store")


def ended(store, name, script, *flags):
    """A container that has run in the background and ended."""
    store.ok(*RUN, "-d", "--name", name, *flags, "busybox", "sh", "-c", script)
    store.ok("wait", name)
    return name


@pytest.fixture(scope="module")
def counted(store):
    return ended(
        store, "counted", "for i in 1 2 3; do echo out $i; sleep 0.01; done; echo err >&2;"
        " sleep 0.01; printf unfinished",
    )  # fmt: skip


def folder(store, name):
    return store.root / "containers" / store.ok("inspect", "-f", "{{.Id}}", name).strip()


def test_both_streams_come_where_they_belong(store, counted):
    assert store("logs", counted) == (0, "out 1\nout 2\nout 3\nunfinished", "err\n")
    assert store("container", "logs", counted).stdout == store("logs", counted).stdout


def test_timestamps_and_details(store, counted):
    lines = store.ok("logs", "-t", counted).splitlines()
    assert [re.sub(STAMP, "T", one) for one in lines] == [
        "T out 1", "T out 2", "T out 3", "T unfinished",
    ]  # fmt: skip
    assert lines == sorted(lines)
    assert store.ok("logs", "--details", counted).startswith(" out 1\n out 2\n")


@pytest.mark.parametrize(
    ("tail", "out", "err"),
    [
        ("2", "unfinished", "err\n"), ("0", "", ""),
        ("-1", "out 1\nout 2\nout 3\nunfinished", "err\n"),
        ("all", "out 1\nout 2\nout 3\nunfinished", "err\n"), ("3", "out 3\nunfinished", "err\n"),
    ],
)  # fmt: skip
def test_tail(store, counted, tail, out, err):
    assert store("logs", "--tail", tail, counted) == (0, out, err)
    assert store("logs", "-n", tail, counted) == (0, out, err)


def test_since_and_until(store, counted):
    stamps = [line.split()[0] for line in store.ok("logs", "-t", counted).splitlines()]
    assert store.ok("logs", "--since", stamps[1], "--until", stamps[1], counted) in ("", "out 2\n")
    assert "out 1" not in store.ok("logs", "--since", stamps[2], counted)
    assert "out 3" not in store.ok("logs", "--until", stamps[1], counted)
    assert store("logs", "--until", "10m", counted) == (0, "", "")
    assert store.ok("logs", "--since", "10m", counted) == store.ok("logs", counted)


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--since", "foo"), 'invalid value for "since": failed to parse value as time or'),
        (("--until", "9" * 30), 'invalid value for "until"'),
        (("--tail", "x"), "--tail 'x' is not a number"),
    ],
)  # fmt: skip
def test_wrong_values_are_named(store, counted, flags, words):
    result = store("logs", *flags, counted)
    assert result.exit == 1
    assert words in result.stderr


def test_missing_ones_and_such_without_a_log(store, counted):
    assert "No such container: nosuch" in store("logs", "nosuch").stderr
    ended(store, "silent", "echo hi", "--log-driver", "none")
    result = store("logs", "silent")
    assert result.exit == 1
    assert "configured logging driver does not support reading" in result.stderr
    store.ok("create", "--network=none", "--name", "fresh", "busybox", "true")
    assert store("logs", "fresh") == (0, "", "")
    assert store("logs", "-f", "fresh") == (0, "", "")


def test_labels_and_variables_are_kept_with_the_lines(store):
    """docker: X=1,a=b hi"""
    flags = ("--label", "a=b", "-e", "X=1", "--log-opt", "labels=a,c", "--log-opt", "env=X")
    ended(store, "labelled", "echo hi", *flags)
    assert store.ok("logs", "--details", "labelled") == "X=1,a=b hi\n"
    assert store.ok("logs", "labelled") == "hi\n"


def test_what_is_kept_may_be_meant_by_a_pattern_and_a_tag_names_the_container(store):
    flags = ("--label", "ab=1", "--label", "b=2", "-e", "E1=x", "-e", "F=y")
    words = ("labels-regex=^a", "env-regex=^E", "labels=b", "tag={{.Name}}/{{.ImageName}}")
    options = [one for word in words for one in ("--log-opt", word)]
    ended(store, "patterned", "echo hi", *flags, *options)
    said = store.ok("logs", "--details", "patterned").strip()
    assert said == "E1=x,ab=1,b=2,tag=patterned%2Fbusybox hi"


def test_rotated_files_are_packed(store):
    words = ("max-size=1k", "max-file=3", "compress=true")
    options = [one for word in words for one in ("--log-opt", word)]
    ended(store, "packed", "for i in $(seq 100); do echo line $i; done", *options)
    names = {one for one in os.listdir(folder(store, "packed")) if one.startswith("log")}
    assert names == {"log.jsonl", "log.jsonl.1.gz", "log.jsonl.2.gz"}
    kept = store.ok("logs", "packed").splitlines()
    assert kept == [f"line {number}" for number in range(101 - len(kept), 101)]
    assert len(kept) > 25
    assert store.ok("logs", "--tail", "20", "packed").splitlines() == kept[-20:]


def test_rotation_keeps_the_last_lines(store):
    flags = ("--log-opt", "max-size=1k", "--log-opt", "max-file=2")
    ended(store, "rotated", "for i in $(seq 100); do echo line $i; done", *flags)
    kept = store.ok("logs", "rotated").splitlines()
    assert kept == [f"line {number}" for number in range(101 - len(kept), 101)]
    assert 15 < len(kept) < 40
    names = {one for one in os.listdir(folder(store, "rotated")) if one.startswith("log")}
    assert names == {"log.jsonl", "log.jsonl.1"}
    said = json.loads(store.ok("inspect", "-f", "{{json .HostConfig.LogConfig}}", "rotated"))
    assert said == {"Type": "json-file", "Config": {"max-size": "1k", "max-file": "2"}}


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--log-driver", "foo"), 'plugin "foo" not found'),
        (("--log-opt", "foo=bar"), "unknown log opt 'foo' for json-file log driver"),
        (("--log-opt", "max-size=foo"), "invalid size: 'foo'"),
        (("--log-opt", "max-file=0"), "max-file"),
        (("--log-opt", "compress=true"), "compress cannot be true when max-file is less than 2"),
        (("--log-opt", "mode=soon"), "logging mode not supported: soon"),
        (("--log-opt", "max-buffer-size=1m"), "only supported with 'mode=non-blocking'"),
        (("--log-opt", "tag={{.Foo}}"), "{{.Foo}} is no field of a container"),
        (("--log-opt", "env-regex=["), "error parsing regexp"),
        (("--log-driver", "local", "--log-opt", "tag=x"), "'tag' for local log driver"),
        (("--log-driver", "none", "--log-opt", "max-size=1m"), "invalid logging opts"),
    ],
)  # fmt: skip
def test_wrong_drivers_and_options(store, flags, words):
    result = store(*RUN, *flags, "--name", "wrong", "busybox", "true")
    assert result.exit == 125
    assert words in result.stderr
    assert store("inspect", "wrong").exit == 1


@pytest.mark.parametrize("driver", ["local", "k8s-file", "json-file"])
def test_drivers_that_keep_a_log(store, driver):
    ended(store, f"by-{driver}", "echo hi", "--log-driver", driver)
    assert store.ok("logs", f"by-{driver}") == "hi\n"


def test_what_ran_in_the_foreground_has_a_log_if_it_is_kept(store):
    assert store.ok(*RUN, "--name", "front", "busybox", "echo", "hi") == "hi\n"
    assert store.ok("logs", "front") == "hi\n"
    assert store.ok("start", "-a", "front") == "hi\n"
    assert store.ok("logs", "front") == "hi\nhi\n"


def follow(store, *words):
    return subprocess.Popen(
        store.command("logs", "-f", *words), stdout=subprocess.PIPE, env=store.environment
    )


def test_following_shows_what_comes_and_ends_with_the_container(store):
    store.ok(*RUN, "-d", "-i", "--name", "grows", "busybox", "sh", "-c", "echo 1; read x; echo $x")
    with follow(store, "grows") as running:
        assert running.stdout.readline() == b"1\n"
        assert store("attach", "grows", stdin="2\n").exit == 0
        assert running.stdout.read() == b"2\n"
        assert running.wait(60) == 0


def test_following_goes_on_over_restarts(store):
    script = "echo start; sleep 0.2; exit 3"
    flags = ("-d", "--name", "again", "--restart", "on-failure:2")
    store.ok(*RUN, *flags, "busybox", "sh", "-c", script)
    assert store.ok("logs", "-f", "again") == "start\n" * 3


def test_following_a_container_that_is_removed_meanwhile(store):
    store.ok(*RUN, "-d", "--rm", "--name", "gone", "busybox", "sh", "-c", "echo 1; sleep 600")
    with follow(store, "gone") as running:
        assert running.stdout.readline() == b"1\n"
        store.ok("rm", "-f", "gone")
        assert running.stdout.read() == b""
        assert running.wait(60) == 0


def test_following_ends_when_nobody_reads(store):
    store.ok(*RUN, "-d", "--name", "idle", "busybox", "sh", "-c", "echo 1; sleep 600")
    running = follow(store, "idle")
    assert running.stdout.readline() == b"1\n"
    running.stdout.close()
    running.wait(60)
    store.ok("rm", "-f", "idle")


def test_following_ends_at_until(store):
    store.ok(*RUN, "-d", "--name", "late", "busybox", "sleep", "600")
    until = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 1))
    assert store("logs", "-f", "--until", until, "late", timeout=120) == (0, "", "")
    store.ok("rm", "-f", "late")


def test_several_are_told_apart(store, counted):
    ended(store, "other", "echo hi")
    short = store.ok("inspect", "-f", "{{slice .Id 0 12}}", "other").strip()
    assert f"{short} hi\n" in store.ok("logs", counted, "other")
    assert "other hi\n" in store.ok("logs", "--names", counted, "other")


def test_a_damaged_log(store):
    ended(store, "torn", "echo 1; echo 2")
    with open(folder(store, "torn") / "log.jsonl", "r+b") as file:
        content = file.read()
        file.seek(0)
        file.write(b"\0" * 40 + b"\n" + content)
    result = store("logs", "torn")
    assert (result.exit, result.stdout) == (0, "1\n2\n")
    assert "1 damaged line" in result.stderr
    (folder(store, "torn") / "log.jsonl").unlink()
    os.mkfifo(folder(store, "torn") / "log.jsonl")
    assert store("logs", "torn", timeout=60).exit == 0
    store.ok("rm", "torn")


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir, lambda path: os.symlink("/nosuch", path)])
def test_what_is_no_log_is_in_its_place(store, make):
    name = ended(store, f"odd{os.urandom(4).hex()}", "echo there")
    log = folder(store, name) / "log.jsonl"
    log.unlink()
    make(log)
    assert "there" not in store("logs", name, timeout=60).stdout
    refused = store("start", name, timeout=60)
    assert refused.exit == 1
    assert f"{log} is no file" in refused.stderr
    assert "Traceback" not in refused.stderr
    store.ok("rm", "-f", name)


def test_megabytes_come_as_they_were_and_memory_stays_small(store):
    ended(store, "much", "head -c 1000000 /dev/urandom")
    log = folder(store, "much") / "log.jsonl"
    content = log.read_bytes()
    with open(log, "ab") as file:
        for _ in range(59):
            file.write(content)
    assert log.stat().st_size > 120 << 20
    argv = ["sh", "-c", 'ulimit -v 100000; exec "$@"', "sh", *store.command("logs", "much")]
    with subprocess.Popen(argv, env=store.environment, stdout=subprocess.PIPE) as running:
        size = 0
        while piece := running.stdout.read(1 << 20):
            size += len(piece)
    assert (running.returncode, size) == (0, 60_000_000)


def test_a_container_goes_on_where_its_log_cannot_grow(store):
    script = "echo first; while :; do head -c 100000 /dev/zero; done"
    flags = ("-d", "--name", "full")
    argv = store.command(*RUN, *flags, "busybox", "sh", "-c", script)
    limited = ["sh", "-c", 'ulimit -f 2000; exec "$@"', "sh", *argv]
    subprocess.run(limited, env=store.environment, check=True, stdout=subprocess.DEVNULL)
    log = folder(store, "full") / "log.jsonl"
    wait_until(lambda: log.stat().st_size >= 1_000_000, "the log to be full")
    assert store("ps", "-q", "--filter", "name=full").stdout
    assert "first\n" in store.ok("logs", "full")
    store.ok("stop", "-t", "0", "full")
