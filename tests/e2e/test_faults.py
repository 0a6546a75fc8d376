"""Faults: whatever dies, fills up, is damaged or missing, the next try works and nothing stays."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from rootless.store import Store
from rootless.store.check import check
from tests.support import child, flattened, images
from tests.support.child import in_child
from tests.support.hostile_registry import HostileRegistry, serving
from tests.support.processes import saying, some_seconds, wait_until_gone
from tests.support.taking import Taking

pytestmark = pytest.mark.needs("userns", "overlay", "busybox")

DOCKERFILE = """\
FROM busybox AS first
COPY f /copied/f
RUN echo made >/made && mkdir -p /a/b && ln -s /made /a/b/link
FROM busybox AS other
RUN echo other >/other
FROM first
WORKDIR /work
COPY --from=other /other /other
"""


@pytest.fixture
def box(rootless, busybox_image, tmp_path):
    """A store with busybox, and the context of a small build."""
    rootless.load(busybox_image, tmp_path)
    rootless.context = tmp_path / "context"
    rootless.context.mkdir()
    (rootless.context / "f").write_text("content")
    (rootless.context / "Dockerfile").write_text(DOCKERFILE)
    rootless.build = ("build", "--no-cache", "-q", "-t", "app", rootless.context)
    return rootless


def assert_good(box):
    """Everything works at the first try, the store is whole, and nothing is left lying about."""
    box.ok(*box.build)
    show = ("cat", "/a/b/link", "/other", "../copied/f")
    assert box.ok("run", "--rm", "--network=none", "app", *show) == "made\nother\ncontent"
    assert_clean(box)


def assert_clean(box):
    assert processes(box) == []
    assert mounts(box) == []
    assert [one for one in (box.root / "tmp").iterdir() if one.is_dir()] == []
    assert os.listdir(box.root / "containers") == []
    box.ok("system", "prune", "-f")  # small files wait a day for a download to go on, or for this
    assert os.listdir(box.root / "tmp") == []
    assert in_child(lambda: check(Store(str(box.root)))) == ()


def processes(box):
    """Processes that have to do with the store, our own helpers' too."""
    return [pid for pid in saying(str(box.root.parent)) if pid != os.getpid()]


def mounts(box):
    with open("/proc/self/mountinfo") as file:
        return [line for line in file if str(box.root) in line]


def start(box, *argv, **options):
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
    environment = box.environment
    return subprocess.Popen(
        box.command(*argv), env=environment, stdin=subprocess.DEVNULL, text=True, **options
    )


# --- kill -9 at any moment -----------------------------------------------------------------------


def kill_moments(box, *argv, before=lambda: None):
    """Kill -9 the command at moments spread over the time that it takes."""
    before()
    began = time.monotonic()
    box.ok(*argv)
    takes = time.monotonic() - began
    generator = random.Random(60)
    for number in range(6):
        before()
        running = start(box, *argv)
        time.sleep(takes * (number + generator.random()) / 6)
        running.kill()
        running.communicate(timeout=120)
        box.ok("images")


def test_killed_builds(box):
    kill_moments(box, *box.build)
    assert_good(box)


def test_killed_runs(box):
    kill_moments(box, "run", "--rm", "busybox", "true")
    assert_good(box)


def test_killed_loads_and_removals(box, busybox_image, tmp_path):
    def load():
        box.load(busybox_image, tmp_path)

    box.ok("rmi", "busybox")
    kill_moments(box, "load", "-i", tmp_path / "base.tar", before=lambda: box("rmi", "busybox"))
    box.ok("system", "prune", "-af")
    kill_moments(box, "rmi", "busybox", before=load)
    load()
    assert_good(box)


@pytest.mark.needs("registry", "skopeo")
def test_killed_pulls(box, busybox_image, registry):
    name = registry.push(busybox_image, "faults/killed:1")
    kill_moments(box, "pull", "-q", name, before=lambda: box("rmi", name))
    assert_good(box)


def test_a_killed_container_that_was_to_stay_is_a_stopped_one(box):
    sleep = f"sleep {some_seconds()}"
    running = start(box, "run", "--name", "stays", "busybox", "sh", "-c", f"echo up; {sleep}")
    assert running.stdout.readline() == "up\n"
    running.kill()
    running.communicate(timeout=120)
    wait_until_gone(sleep)
    assert "Exited (137)" in box.ok("ps", "-a")
    box.ok("run", "--rm", "busybox", "true")
    box.ok("rm", "stays")
    assert_clean(box)


# --- each system call in turn -------------------------------------------------------------------

# A user's newuidmap is not set-uid under strace: the tests are root of a namespace already.
STRACE = ("unshare", "--map-root-user", "strace", "-f", "-qq", "-o", "/dev/null")
CHANGES = {
    "rename": "rename,renameat,renameat2",
    "sync": "fsync,syncfs",
    "mkdir": "mkdir,mkdirat",
    "mount": "mount",
    "unlink": "unlink,unlinkat,rmdir",
}


def injected(box, what, *argv):
    calls = what.partition(":")[0]
    options = (f"--trace={calls}", f"--inject={what}")
    answer = subprocess.run(
        [*STRACE, *options, *box.command(*argv)],
        env=box.environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
        timeout=120,
    )
    return answer.returncode, answer.stderr.decode()


@pytest.mark.needs("strace", "unshare")
@pytest.mark.parametrize("kind", CHANGES)
def test_death_at_each_change_of_a_build(box, kind):
    died = _at_each(box, kind, "signal=KILL", box.build)
    assert died
    assert_good(box)


@pytest.mark.needs("strace", "unshare")
@pytest.mark.parametrize("kind", ["mkdir", "mount"])
def test_death_at_each_change_of_a_run(box, kind):
    died = _at_each(box, kind, "signal=KILL", ("run", "--rm", "busybox", "true"))
    assert died
    assert_good(box)


@pytest.mark.needs("strace", "unshare")
@pytest.mark.parametrize("error", ["ENOSPC", "EIO"])
@pytest.mark.parametrize("kind", ["rename", "sync", "mkdir"])
def test_failure_of_each_change_is_a_sentence(box, kind, error):
    assert _at_each(box, kind, f"error={error}", box.build)
    assert_good(box)


@pytest.mark.needs("strace", "unshare")
@pytest.mark.parametrize("fault", ["signal=KILL", "error=ENOSPC"])
@pytest.mark.parametrize("kind", ["rename", "sync", "mkdir"])
def test_each_change_of_a_pull_in_turn(box, busybox_image, kind, fault):
    with HostileRegistry(serving(busybox_image, "a/b")) as registry:
        name = f"{registry.address}/a/b:1"

        def forget():
            box.ok("rmi", "-f", "busybox", name)

        assert _at_each(box, kind, fault, ("pull", "-q", name), before=forget)
        box.ok("tag", name, "busybox")
    assert_good(box)


@pytest.mark.needs("strace", "unshare")
@pytest.mark.parametrize("fault", ["signal=KILL", "error=ENOSPC"])
@pytest.mark.parametrize("kind", ["rename", "sync"])
def test_each_change_of_a_push_in_turn(box, kind, fault):
    """The registry forgets all each time, and the store what it has packed."""
    box.ok(*box.build)
    with Taking() as registry:

        def forget():
            registry.manifests.clear()
            registry.blobs.clear()
            box.ok("image", "prune", "-f")

        command = ("push", "-q", "app", f"{registry.address}/a/b:1")
        assert _at_each(box, kind, fault, command, before=forget)
        assert registry.layers("a/b", "1")
    assert_good(box)


def _at_each(box, kind, fault, argv, before=lambda: None):
    """The command with its first, second, … change failing, until none is left; how many."""
    step, stride, died = 1, 1, 0
    while True:
        before()
        code, said = injected(box, f"{CHANGES[kind]}:{fault}:when={step}", *argv)
        assert "Traceback" not in said, said
        if code == 0:
            return died
        died += 1
        box.ok("images")
        if fault.startswith("error"):
            assert said.startswith("error: ") or "\nerror: " in said, said
        step += stride
        stride += step > 8


# --- disks ----------------------------------------------------------------------------------------


@pytest.mark.needs("unshare")
def test_a_disk_that_fills_up_in_a_build(box, busybox_image, tmp_path):
    """In one namespace with a small disk: each failure is a sentence, and there is a way on."""
    small = tmp_path / "small"
    small.mkdir()
    archive = busybox_image.archive(tmp_path / "base.tar")
    (box.context / "big").write_bytes(os.urandom(6_000_000))
    (box.context / "copy").write_text("FROM busybox\nCOPY big /a\nCOPY big /b\n")
    (box.context / "run").write_text("FROM busybox\nRUN head -c 9000000 /dev/urandom >/big\n")
    (box.context / "fits").write_text("FROM busybox\nCOPY f /f\n")
    python = f"{sys.executable} -m rootless --root {small}/store"
    script = f"""
        mount -t tmpfs -o size=12m tmpfs {small}
        {python} load -i {archive} || exit 90
        for name in copy run; do
            {python} build --progress=plain -f {box.context}/$name {box.context} && exit 91
        done
        head -c 30m /dev/zero >{small}/filler
        {python} run --network=none busybox true && exit 92
        rm {small}/filler
        {python} system prune -f || exit 93
        {python} build -f {box.context}/fits {box.context} || exit 94
        {python} run --network=none --rm busybox true || exit 95
        ls {small}/store/tmp {small}/store/containers
    """
    answer = subprocess.run(
        ["unshare", "--map-root-user", "--mount", "sh", "-c", script],
        env=box.environment, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert answer.returncode == 0, answer.stderr
    assert "Traceback" not in answer.stderr
    assert answer.stderr.count("error: ") == 3
    assert answer.stderr.lower().count("no space left") + answer.stderr.count("is full") >= 3
    assert answer.stdout.endswith(f"{small}/store/containers:\n\n{small}/store/tmp:\n")


@pytest.mark.needs("unshare", "registry")
@pytest.mark.parametrize("verb", ["pull", "build"])
def test_what_a_full_disk_has_no_room_for_is_not_kept(box, busybox_image, registry, tmp_path, verb):
    """Of an image that cannot be downloaded nothing stays, so that another one can."""
    small = tmp_path / "small"
    small.mkdir()
    layers = [images.layer({f"big{number}": os.urandom(12_000_000)}) for number in range(2)]
    big = images.write_layout(tmp_path / "layout", "big", layers)
    name = registry.push(big, f"faults/big-{verb}:1")
    (box.context / "Dockerfile").write_text(f"FROM {name}\nCOPY f /\n")
    python = f"{sys.executable} -m rootless --root {small}/store"
    what = name if verb == "pull" else box.context
    script = f"""
        mount -t tmpfs -o size=20m,mode=700 tmpfs {small}
        {python} images
        {python} {verb} -q {what} && exit 90
        find {small}/store/tmp -type f
        {python} load -q -i {busybox_image.archive(tmp_path / "base.tar")} || exit 91
    """
    answer = subprocess.run(
        ["unshare", "--map-root-user", "--mount", "sh", "-c", script],
        env=box.environment, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert answer.returncode == 0, answer.stderr
    assert "the disk is full: " in answer.stderr
    assert "free space with: rootless system prune" in answer.stderr
    assert f"{small}/store/tmp" not in answer.stdout


@pytest.mark.needs("unshare")
def test_a_disk_that_a_container_fills_up(box, busybox_image, tmp_path):
    """It ends as it would; what others ask for says that the disk is full, and leaves nothing."""
    small = tmp_path / "small"
    small.mkdir()
    archive = busybox_image.archive(tmp_path / "base.tar")
    (tmp_path / "big").write_bytes(os.urandom(20_000_000))
    python = f"{sys.executable} -m rootless --root {small}/store"
    fill = "head -c 30000000 /dev/zero >/big; exit 7"
    script = f"""
        refused() {{ {python} "$@" && {{ echo "went: $*" >&2; exit 90; }} }}
        mount -t tmpfs -o size=12m,mode=700 tmpfs {small}
        {python} load -i {archive} || exit 91
        {python} run --network=none --name greedy busybox sh -c '{fill}'
        [ $? = 7 ] || exit 92
        [ "$({python} inspect -f '{{{{.State.ExitCode}}}}' greedy)" = 7 ] || exit 101
        for verb in "run --rm" "run -d" create; do refused $verb --network=none busybox true; done
        refused commit greedy
        refused volume create data
        refused network create road
        refused rename greedy other
        {python} cp greedy:/bin - | wc -c >&2
        {python} rm greedy || exit 93
        {python} create --network=none --name fed busybox true || exit 94
        refused cp {tmp_path}/big fed:/
        {python} cp fed:/big - && exit 95
        {python} cp fed:/bin - >/dev/null || exit 96
        {python} start fed || exit 97
        {python} rm -f fed || exit 98
        {python} system check || exit 99
        {python} system prune -f || exit 100
        ls {small}/store/tmp {small}/store/containers
    """
    answer = subprocess.run(
        ["unshare", "--map-root-user", "--mount", "sh", "-c", script],
        env=box.environment, capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert answer.returncode == 0, answer.stderr
    assert "Traceback" not in answer.stderr
    assert answer.stderr.count("error: the disk is full: ") == 8, answer.stderr
    assert answer.stdout.endswith(f"{small}/store/containers:\n\n{small}/store/tmp:\n")


@pytest.mark.needs("unshare")
def test_a_disk_that_a_container_fills_up_while_it_runs_in_a_copy(box, busybox_image, tmp_path):
    """What it has changed so far cannot be put together: that is no matter of standard output."""
    small = tmp_path / "small"
    small.mkdir()
    archive = busybox_image.archive(tmp_path / "base.tar")
    python = f"{sys.executable} -m rootless --root {small}/store"
    fill = "yes >/big; sleep 7534"
    script = f"""
        mount -t tmpfs -o size=12m,mode=700 tmpfs {small}
        {python} load -i {archive} || exit 90
        {python} run -d --name greedy busybox sh -c '{fill}' || exit 91
        until [ "$(stat -f -c %a {small})" = 0 ]; do sleep 0.1; done
        {python} commit greedy && exit 92
        {python} export greedy >/dev/null && exit 93
        {python} rm -f greedy || exit 94
        ls {small}/store/tmp
    """
    answer = subprocess.run(
        ["unshare", "--map-root-user", "--mount", "sh", "-c", script],
        env={**box.environment, "ROOTLESS_RUNG": "root"},
        capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert answer.returncode == 0, answer.stderr
    assert answer.stderr.count(f"error: the disk is full: {small}/store") == 2, answer.stderr
    assert answer.stdout.endswith("\ngreedy\n")


# --- many at once ---------------------------------------------------------------------------------


@pytest.mark.needs("registry", "skopeo")
def test_everything_at_once(box, busybox_image, registry):
    name = registry.push(busybox_image, "faults/crowd:1")

    def pull(_):
        return box("pull", "-q", name, timeout=120)

    def build(number):
        return box(*box.build[:-1], "-t", f"own{number}", box.context, timeout=120)

    def remove(_):
        box("rmi", name, timeout=120)
        return box("system", "prune", "-f", timeout=120)

    def run(_):
        return box("run", "--rm", "--network=none", "busybox", "true", timeout=120)

    work = [pull, build, remove, run] * 4
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda task: task[1](task[0]), enumerate(work)))
    for result in results:
        assert "Traceback" not in result.stderr
        assert result.exit == 0, result.stderr
    assert_good(box)


def test_containers_removed_by_two_at_once(box):
    for number in range(6):
        box.ok("run", "--network=none", "--name", f"c{number}", "busybox", "true")
    names = [f"c{number}" for number in range(6)]
    everyone = [start(box, "rm", *names) for _ in range(4)] + [start(box, "ps", "-a")]
    for process in everyone:
        assert "Traceback" not in process.communicate(timeout=120)[1]
    assert_clean(box)


# --- signals and streams --------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("alone", [True, False], ids=["process", "group"])
def test_a_signal_ends_a_build(box, number, alone):
    """Sent to one process, as by kill, or to all of the terminal, as by Ctrl-C."""
    marker = f"sleep {some_seconds()}"
    (box.context / "slow").write_text(f"FROM busybox\nRUN echo begun; {marker}; true\n")
    running = start(
        box, "build", "--progress=plain", "-f", box.context / "slow", box.context,
        start_new_session=True, stderr=subprocess.STDOUT,
    )  # fmt: skip
    while "begun" not in (line := running.stdout.readline()) or "echo" in line:
        assert line, "the build ended"
    (os.kill if alone else os.killpg)(running.pid, number)
    said = running.communicate(timeout=120)[0]
    assert "Traceback" not in said
    assert running.returncode == 128 + number
    wait_until_gone(marker)
    assert_good(box)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_a_container(box, number):
    script = f"trap 'exit 7' {number.name[3:]}; echo up; while :; do sleep 0.02; done"
    running = start(box, "run", "--rm", "busybox", "sh", "-c", script)
    assert running.stdout.readline() == "up\n"
    running.send_signal(number)
    running.communicate(timeout=120)
    assert running.returncode == 7
    assert_good(box)


@pytest.mark.parametrize("network", ["none", "pasta"])
def test_signals_while_a_container_starts(box, network):
    seconds = some_seconds()
    for delay in range(0, 160, 16):
        running = start(box, "run", "--rm", f"--network={network}", "busybox", "sleep", seconds)
        time.sleep(delay / 1000)
        running.terminate()
        time.sleep(0.05)
        running.kill()
        assert "Traceback" not in running.communicate(timeout=120)[1]
    wait_until_gone(f"sleep {seconds}")
    assert_good(box)


@pytest.mark.needs("registry", "skopeo")
def test_a_signal_ends_a_pull(box, busybox_image, registry):
    name = registry.push(busybox_image, "faults/interrupted:1")
    for delay in range(60, 360, 60):
        running = start(box, "pull", name, start_new_session=True)
        time.sleep(delay / 1000)
        os.killpg(running.pid, signal.SIGINT)
        said = running.communicate(timeout=120)[1]
        assert "Traceback (most" not in said or delay < 180, said  # Python itself was starting
        box("rmi", name)
    box.ok("pull", "-q", name)
    assert_good(box)


def test_readers_that_go_away(box):
    (box.context / "loud").write_text("FROM busybox\nRUN seq 20000\n")
    for verb in (
        "build --progress=plain --no-cache -f loud .",
        "run --rm --network=none busybox seq 200000",
        "images", "history busybox", "inspect busybox", "ps -a", "save busybox", "info",
    ):  # fmt: skip
        for redirection in ("2>&1", "2>errors"):
            command = " ".join(box.command())
            line = f"{command} {verb} {redirection} | head -c 1 >/dev/null"
            subprocess.run(["sh", "-c", line], env=box.environment, cwd=box.context, check=True)
            errors = box.context / "errors"
            assert not errors.exists() or "Traceback" not in errors.read_text(), verb
    assert_good(box)


def test_standard_streams_that_are_closed(box):
    for closed in ("<&-", ">&-", "2>&-", "<&- >&- 2>&-"):
        command = " ".join(box.command("run", "--rm", "--network=none", "-v", f"{box.context}:/c"))
        line = f"{command} busybox sh -c 'ls /proc/self/fd >/c/fds' {closed}"
        subprocess.run(["sh", "-c", line], env=box.environment, check=True, timeout=120)
        assert (box.context / "fds").read_text().split() == ["0", "1", "2", "3"], closed
        line = f"{' '.join(map(str, box.command(*box.build)))} {closed}"
        subprocess.run(["sh", "-c", line], env=box.environment, check=True, timeout=120)
    assert_good(box)


def test_a_parent_that_waits_for_no_children(box):
    code = "import os, signal, sys; signal.signal(signal.SIGCHLD, signal.SIG_IGN)"
    code += "; os.execvp(sys.argv[1], sys.argv[1:])"
    for verb in (("run", "--rm", "busybox", "sh", "-c", "exit 3"), box.build):
        answer = subprocess.run(
            [sys.executable, "-c", code, *box.command(*verb)],
            env=box.environment, check=False, capture_output=True, timeout=30,
        )  # fmt: skip
        assert answer.returncode == (3 if verb[0] == "run" else 0), answer.stderr


# --- poor surroundings ----------------------------------------------------------------------------


def test_almost_no_environment(box, tmp_path):
    bare = {"PYTHONPATH": box.environment["PYTHONPATH"]}
    assert box.ok("run", "--rm", "busybox", "echo", "here", env=bare) == "here\n"
    box.ok(*box.build, env=bare)
    gone = tmp_path / "gone"
    gone.mkdir()
    line = f"cd {gone}; rmdir {gone}; {' '.join(box.command('run', '--rm', 'busybox', 'pwd'))}"
    answer = subprocess.run(
        ["sh", "-c", line], env=box.environment, capture_output=True, text=True, check=False
    )
    assert answer.stdout == "/\n", answer.stderr


def in_a_directory_that_is_gone(box, tmp_path, *argv):
    gone = tmp_path / "gone"
    gone.mkdir()
    return subprocess.run(
        ["sh", "-c", 'cd "$0"; rmdir "$0"; exec "$@"', gone, *argv],
        env=box.environment, capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("build", "."), 1),
        (("save", "-o", "x", "busybox"), 1),
        (("run", "--rm", "-v", ".:/x", "busybox", "true"), 125),
    ],
)
def test_a_current_directory_that_is_gone(box, tmp_path, words, code):
    answer = in_a_directory_that_is_gone(box, tmp_path, *box.command(*words))
    assert (answer.returncode, "Traceback" in answer.stderr) == (code, False)
    assert "error: getwd: no such file or directory" in answer.stderr
    relative = [sys.executable, "-m", "rootless", "--root", "store", "images"]
    answer = in_a_directory_that_is_gone(box, tmp_path, *relative)
    assert "error: getwd: no such file or directory" in answer.stderr


@pytest.mark.parametrize("variables", [{}, {"PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}])
def test_names_are_utf_8_whatever_the_locale(box, variables):
    (box.context / "ü").write_text("from the context")
    (box.context / "Dockerfile").write_text(
        "FROM busybox\nCOPY ü /d/\nRUN echo Ümlaut > /ä\nENV Ä=ö\n"
    )
    odd = {**box.environment, **variables, "LC_ALL": "C"}
    box.ok("build", "-t", "names", box.context, env=odd)
    show = ("sh", "-c", "cat /d/ü /ä; tr '\\0' '\\n' </proc/1/environ | grep -v ^[HP]")
    seen = box.ok("run", "--rm", "--network=none", "-e", "X=ß", "names", *show, env=odd)
    assert seen == "from the contextÜmlaut\nX=ß\nÄ=ö\n"


@pytest.mark.parametrize(
    ("network", "words", "code"),
    [
        pytest.param("pasta", (), 0, marks=pytest.mark.needs("pasta")),
        pytest.param("slirp4netns", (), 0, marks=pytest.mark.needs("slirp4netns")),
        pytest.param("slirp4netns", ("-p", "80"), 125, marks=pytest.mark.needs("slirp4netns")),
    ],
)
def test_a_runtime_directory_that_is_somebody_elses(box, network, words, code):
    """As `su` leaves it; only a socket of slirp4netns would have to be there."""
    box.environment["XDG_RUNTIME_DIR"] = "/proc/1"
    result = box("run", "--rm", "--network", network, *words, "busybox", "echo", "ran")
    assert (result.exit, result.stdout) == (code, "" if code else "ran\n"), result.stderr
    assert ("set XDG_RUNTIME_DIR to a folder of your own" in result.stderr) == bool(code)
    assert "Traceback" not in result.stderr


def test_no_room_for_what_is_said_is_no_failure(box):
    """A full disk under a log of standard error; what there is to say on standard output counts."""
    with open("/dev/full", "wb") as full:
        for words, code in (
            ((*box.build[:2], "-t", "app", box.context), 0),
            (("run", "--rm", "--network=none", "--explain", "busybox", "true"), 0),
            (("inspect", "nothing"), 1),
            (("run", "--rm", "--network=none", "busybox", "nothing"), 127),
        ):
            done = subprocess.run(
                box.command(*words), env=box.environment, stderr=full, stdout=subprocess.PIPE,
                stdin=subprocess.DEVNULL, check=False, timeout=120,
            )  # fmt: skip
            assert done.returncode == code, (words, done.stdout)
    assert "app" in box.ok("images")


def test_files_of_images_do_not_depend_on_umask_zone_or_epoch(box, busybox_image, tmp_path):
    (box.context / "d").mkdir()
    (box.context / "d" / "tool").write_text("#!/bin/sh\n")
    for path, mode in (("d", 0o755), ("d/tool", 0o755), ("f", 0o640)):
        (box.context / path).chmod(mode)
    (box.context / "Dockerfile").write_text(
        "FROM busybox\nCOPY d /d\nCOPY f /new/f\nADD f /f\nWORKDIR /w/x\n"
        "COPY <<end /here\ntext\nend\nRUN mkdir /made && touch /made/file\n"
    )
    found = []
    for number, (umask, zone) in enumerate([(0o077, "UTC"), (0, "Asia/Tokyo"), (0o022, "UTC+11")]):
        other = type(box)(tmp_path / f"store{number}")
        environment = {**box.environment, "TZ": zone, "SOURCE_DATE_EPOCH": "1700000000"}
        was = os.umask(umask)
        try:
            other.load(busybox_image, tmp_path)
            other.ok("build", "-q", "-t", "x", box.context, env=environment)
            other.ok("save", "-o", tmp_path / "x.tar", "x")
            stat = "cd /; stat -c '%a %u %g %n' / d d/* new/f w w/x here made made/* tmp"
            shown = other.ok("run", "--rm", "--network=none", "x", "sh", "-c", stat)
        finally:
            os.umask(was)
            child.remove_tree(other.root)
        entries, config = flattened.read(tmp_path / "x.tar")
        owned = {name: (one.mode, one.uid, one.gid) for name, one in entries.items()}
        found.append((shown, config["created"], owned))
    assert found[0] == found[1] == found[2]
    assert "755 0 0 d/tool\n640 0 0 new/f" in found[0][0]
    assert found[0][1] == "2023-11-14T22:13:20Z"


def test_nothing_stays_after_many_runs(box):
    for _ in range(25):
        box.ok("run", "--rm", "busybox", "true")
    assert_clean(box)


def test_a_step_that_is_killed_is_told(box):
    (box.context / "killed").write_text("FROM busybox\nRUN sh -c 'kill -9 $$'; exit $?\n")
    answer = box("build", "-f", box.context / "killed", box.context)
    assert (answer.exit, "exit code: 137" in answer.stderr) == (1, True)
    assert_good(box)
