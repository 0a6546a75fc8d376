"""The command line as a program: exit codes, errors on standard error, what start-up imports."""

import os
import subprocess
import sys

import pytest

from rootless.cli import main

HEAVY = {
    "re", "json", "enum", "typing", "dataclasses", "pathlib", "subprocess", "logging", "tempfile",
    "shutil", "contextlib", "hashlib", "socket", "threading", "click", "rich", "urllib3",
}  # fmt: skip


def rootless(*words, **environment):
    return subprocess.run(
        [sys.executable, "-m", "rootless", *words],
        env={"PATH": os.defpath, "HOME": "/nonexistent", "PYTHONPATH": ":".join(sys.path),
             "PYTHONDONTWRITEBYTECODE": "1", **environment},
        capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_version():
    done = rootless("--version")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("rootless version ")


def test_a_mistake_is_two_lines_and_125():
    done = rootless("run", "--zzzzzz", "x")
    assert done.returncode == 125
    assert done.stdout == ""
    error, empty, hint = done.stderr.splitlines()
    assert (error, empty) == ("error: unknown flag: --zzzzzz", "")
    assert hint == (
        "hint: usage: rootless run [OPTIONS] IMAGE [COMMAND] [ARG...]; see 'rootless run --help'"
    )


@pytest.mark.parametrize(
    ("words", "error", "hint"),
    [
        (["rnu"], "unknown command: rootless rnu", "did you mean 'run'"),
        (["compose", "up"], "'rootless compose' is not implemented yet", "--help"),
        (["builder", "prnue"], "unknown command: rootless builder prnue", "'builder prune'"),
        (["system", "purne"], "unknown command: rootless system purne", "mean 'system prune' or"),
        (["image", "scp"], "unknown command: rootless image scp", "did you mean 'image"),
        (["help", "nothing"], "unknown command: rootless nothing", ""),
        (["imgae", "ls"], "unknown command: rootless imgae", "did you mean 'image"),
        (["rmi"], "'rootless rmi' requires at least 1 argument", "usage: rootless rmi [OPTIONS]"),
        (["completion", "tcsh"], "no completion for 'tcsh'", "bash, zsh or fish"),
    ],
)
def test_unknown_commands(words, error, hint):
    done = rootless(*words)
    assert done.returncode == 1
    assert error in done.stderr
    assert hint in done.stderr


@pytest.mark.parametrize(
    "flag", [("images", "--al"), ("run", "--netwrok", "none", "x"), ("build", "--no-cahce", ".")]
)
def test_a_flag_that_is_nearly_one(flag):
    done = rootless(*flag)
    assert done.returncode == 125
    meant = {"--al": "--all", "--netwrok": "--network", "--no-cahce": "--no-cache"}[flag[1]]
    assert f"did you mean {meant}?" in done.stderr


@pytest.mark.parametrize(
    "words",
    [
        *([], ["image"], ["--help"], ["run", "--help"], ["help", "run"], ["help", "image"]),
        *(["image", "--help"], ["container", "--help"], ["system", "-h"]),
        ["image", "ls", "--help"],
    ],
)
def test_help_is_on_standard_output(words):
    done = rootless(*words)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("Usage: rootless")


def test_debug_adds_the_traceback():
    assert "Traceback" in rootless("--debug", "run").stderr
    assert "Traceback" not in rootless("run").stderr


def test_a_reader_that_leaves_is_no_error():
    script = f"{sys.executable} -m rootless --help | true; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(
        ["bash", "-c", script], env={**os.environ, "PYTHONPATH": ":".join(sys.path)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.stderr == ""


@pytest.mark.parametrize(
    ("verb", "redirection", "code", "said"),
    [
        ("version", ">&-", 0, ""),
        ("version", ">/dev/full", 1, "error: standard output: No space left on device\n"),
        ("--root /nonexistent images -q", ">/dev/full", 0, ""),
        ("--root /nonexistent inspect nothing", "2>/dev/full >&1", 1, ""),
        ("--root /nonexistent images -q", "2>/dev/full", 0, ""),
        ("nonsense", "2>/dev/full", 1, ""),
    ],
)
def test_output_that_cannot_be_written(verb, redirection, code, said):
    """That is no error of who has nothing to write."""
    command = ["bash", "-c", f"{sys.executable} -m rootless {verb} {redirection}"]
    environment = {**os.environ, "PYTHONPATH": ":".join(sys.path)}
    for unbuffered in ("", "1"):
        done = subprocess.run(
            command, env={**environment, "PYTHONUNBUFFERED": unbuffered},
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert (done.returncode, done.stderr) == (code, said)


@pytest.mark.parametrize("words", [("load", "-i", "."), ("import", ".", "x")])
def test_a_directory_is_no_archive(words, tmp_path):
    done = rootless("--root", f"{tmp_path}/store", *words)
    assert (done.returncode, done.stderr.splitlines()[0]) == (
        1,
        "error: read .: is a directory",
    )


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion(shell):
    assert "_ROOTLESS_COMPLETE" in rootless("completion", shell).stdout


def test_completion_knows_verbs():
    done = rootless(_ROOTLESS_COMPLETE="bash_complete", COMP_LINE="rootless im")
    assert done.stdout.split() == ["plain,image", "plain,images", "plain,import"]


def imported_by(script):
    """Names of the modules that a bare interpreter loads for `script`."""
    script = (
        f"import sys; sys.path[:0] = {sys.path!r}; before = set(sys.modules); {script}; "
        "print(*(set(sys.modules) - before), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-ISc", script],
        capture_output=True, text=True, check=True, env={"HOME": "/nonexistent"},
    )  # fmt: skip
    return set(done.stderr.split())


@pytest.mark.parametrize("words", [["version"], ["--version"], ["images"], ["images", "-q"]])
def test_start_up_imports_nothing_heavy(words):
    assert not HEAVY & imported_by(f"from rootless.cli.main import main; main({words!r})")


@pytest.mark.parametrize("verb", ["run", "build"])
def test_parsing_a_hot_verb_imports_nothing_heavy(verb):
    script = (
        "import rootless.cli.main; from rootless.cli import parser, table; "
        f"verb = table.load({verb!r}); parser.parse(verb, ['-q', 'x']); "
        "__import__(verb.handler.partition(':')[0])"
    )
    assert not HEAVY & imported_by(script)


@pytest.mark.parametrize(
    ("said", "explained"),
    [
        ("_json.so: cannot open shared object file: Too many open files", True),
        ("_json.so: cannot open shared object file: No such file or directory", False),
        ("No module named 'zstandard'", False),
    ],
)
def test_a_compiled_module_that_met_the_limit_of_open_files(said, explained):
    """The loader gives no errno."""
    complaint = main._explain(ImportError(said))
    assert (complaint is not None) == explained
    assert not explained or complaint.hint == "raise the limit: ulimit -n"
