"""What a user's limits do not allow, and Ctrl-C at any time: one sentence, no traceback."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys

import pytest

from tests.support import machine
from tests.support.hostile_registry import HostileRegistry, serving
from tests.support.images import layer, write_layout

pytestmark = [
    pytest.mark.needs("userns", "overlay", "busybox"),
    pytest.mark.skipif(os.geteuid() == 0, reason="root has no limits"),
]

DOCKERFILE = (
    "FROM busybox AS a\nRUN echo >/a\nFROM busybox AS b\nCOPY big /\nFROM a\nCOPY --from=b /big /\n"
)


@pytest.fixture
def box(rootless, busybox_image, tmp_path):
    rootless.load(busybox_image, tmp_path)
    context = tmp_path / "context"
    context.mkdir()
    (context / "big").write_bytes(os.urandom(3_000_000))
    (context / "Dockerfile").write_text(DOCKERFILE)
    image = write_layout(tmp_path / "l", "x", [layer({"big": os.urandom(3_000_000), "n": b""})])
    rootless.verbs = {
        "pull": lambda address: ("pull", f"{address}/a/b:1"),
        "load": lambda _: ("load", "-i", image.archive(tmp_path / "big.tar")),
        "build": lambda _: ("build", "--no-cache", "-t", "app", context),
        "run": lambda _: ("run", "--rm", "--network", "none", "busybox", "true"),
    }
    with HostileRegistry(serving(image, "a/b")) as registry:
        rootless.address = registry.address
        yield rootless


def limited(box, verb, limit, value):
    """A verb under a soft limit."""

    def lower():
        _, most = resource.getrlimit(limit)
        resource.setrlimit(limit, (value, most))

    argv = [sys.executable, "-m", "rootless", "--root", box.root, *box.verbs[verb](box.address)]
    return subprocess.run(
        argv,
        env=box.environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        preexec_fn=lower,
    )


def open_files(box, most, *argv):
    """A command line with a hard limit of open files."""
    return subprocess.run(
        ["sh", "-c", 'ulimit -n "$0"; exec "$@"', str(most), *box.command(*argv)],
        env=box.environment, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip


EVERY_FEW = (*range(5, 12), 14, 17, 20, 23)  # open files


def assert_sentence(answer):
    assert "Traceback" not in answer.stderr
    if answer.returncode:
        assert answer.stderr.count("error:") == 1


@pytest.mark.parametrize("verb", ["pull", "load", "build"])
def test_files_may_not_be_so_large(box, verb):
    answer = limited(box, verb, resource.RLIMIT_FSIZE, 1_000_000)
    assert answer.returncode, answer
    assert_sentence(answer)
    assert "ulimit -f" in answer.stderr


@pytest.mark.parametrize("verb", ["pull", "load", "build", "run"])
def test_too_few_files_may_be_open(box, verb):
    failures = [limited(box, verb, resource.RLIMIT_NOFILE, most) for most in EVERY_FEW]
    for answer in failures:
        assert_sentence(answer)
        assert verb != "run" or not answer.returncode or "ulimit -n" in answer.stderr, answer


@pytest.mark.needs("pasta")
def test_too_few_files_for_the_program_that_makes_the_network(box):
    """The hard limit too: pasta raises the soft one for itself."""
    argv = box.command("run", "--rm", "--network", "pasta", "busybox", "true")
    answer = subprocess.run(
        ["sh", "-c", 'ulimit -n 64; exec "$@"', "sh", *argv],
        env=box.environment, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert_sentence(answer)
    assert not answer.returncode or "ulimit -n" in answer.stderr, answer


@pytest.mark.needs("subids")
def test_too_few_files_in_the_container(box):
    """Wherever it ends, that is said; above all no user is taken for one who is not there."""
    words = ("-v", "/tmp:/x:ro", "--tmpfs", "/t", "busybox", "sh", "-c", "id -u; id -G")
    answers = [
        open_files(box, most, "run", "--rm", "--network", "none", "-u", user, *words)
        for most in (*range(20, 46), 64)
        for user in ("nobody", "65534")
    ]
    for answer in answers:
        assert_sentence(answer)
        if answer.returncode:
            assert (answer.returncode, "ulimit -n" in answer.stderr) == (125, True), answer
        else:
            assert answer.stdout == "65534\n65534\n"
    assert answers[-1].returncode == 0


def test_too_few_files_for_a_step(box, tmp_path):
    """The cure is the limit's, and no line of the Dockerfile is blamed."""
    (tmp_path / "context/Dockerfile").write_text("FROM busybox\nRUN id\nCOPY big /\n")
    for most in (*range(6, 12), *range(14, 32, 2)):
        answer = open_files(box, most, *box.verbs["build"](""))
        assert_sentence(answer)
        assert not answer.returncode or "ulimit -n" in answer.stderr, answer


@pytest.mark.parametrize("verb", ["pull", "load", "build", "run"])
def test_too_few_processes_may_run(box, verb):
    """Each user namespace counts its own; the first of them is the helper that maps the ids."""
    answers = [limited(box, verb, resource.RLIMIT_NPROC, most) for most in range(1, 12, 2)]
    for answer in answers:
        assert_sentence(answer)
    assert "no more processes can be started" in answers[0].stderr
    assert "ulimit -u" in answers[0].stderr


def test_an_interrupt_while_the_program_is_loaded(box):
    """Before there is anybody to catch it: it ends, and says nothing."""
    program = (
        "import _signal, sys\n"
        "def interrupt(event, details):\n"
        "    if event == 'import' and details[0] == 'rootless.cli.parser':\n"
        "        _signal.raise_signal(_signal.SIGINT)\n"
        "sys.addaudithook(interrupt); import rootless.__main__"
    )
    answer = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert (answer.returncode, answer.stderr) == (-signal.SIGINT, "")


def test_an_interrupt_while_python_itself_is_starting():
    """The script hears of it at its first line."""
    program = (
        "import runpy, sys; from importlib import abc\n"
        "class Interrupt(abc.MetaPathFinder):\n"
        "    def find_spec(self, name, path, target=None):\n"
        "        if name == 'rootless.__main__': raise KeyboardInterrupt\n"
        "sys.meta_path.insert(0, Interrupt()); runpy.run_path(sys.argv[1], run_name='__main__')"
    )
    answer = subprocess.run(
        [sys.executable, "-c", program, machine.PROJECT / "scripts/rootless"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (answer.returncode, answer.stderr) == (130, "")


def test_an_interrupt_where_python_can_raise_nothing():
    """In a destructor, as in a callback of the import system, it would be printed and lost."""
    program = (
        "import _signal; from rootless.cli import main\n"
        "_signal.signal(_signal.SIGINT, _signal.SIG_DFL); main._catch_interrupts()\n"
        "class Interrupted:\n"
        "    def __del__(self): _signal.raise_signal(_signal.SIGINT)\n"
        "try:\n"
        "    Interrupted()\n"
        "    while True: pass\n"
        "except KeyboardInterrupt: print('interrupted')"
    )
    answer = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=120
    )
    assert (answer.stdout, answer.stderr) == ("interrupted\n", "")
