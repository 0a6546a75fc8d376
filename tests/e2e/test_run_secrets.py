"""Secrets and ssh agents of a RUN: what a command gets of them, and that they are nowhere else."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import threading

import pytest

from tests.e2e.test_run_mounts import build, printed  # noqa: F401 - a fixture
from tests.support.processes import saying

pytestmark = pytest.mark.needs("userns", "subids", "overlay", "busybox")

VALUE = f"S3cret-{os.urandom(3).hex()[:5]}"  # no other process of this machine knows it
CAT = "cat /run/secrets/k"


@pytest.fixture
def secret(tmp_path):
    path = tmp_path / "secret.txt"
    path.write_text(VALUE)
    return f"id=k,src={path}"


def test_a_file_only_for_root_only_to_read_only_now(build, secret):  # noqa: F811
    said = build(
        f"FROM busybox\nRUN --mount=type=secret,id=k {CAT}; echo; "
        "stat -c '%u:%g %a' /run/secrets/k; "
        "grep -c '/run/secrets/k ro,nosuid,nodev,noexec.* - tmpfs' /proc/self/mountinfo; "
        "echo bad > /run/secrets/k || rm /run/secrets/k || echo refused\n"
        "RUN ls /run 2>/dev/null || echo nothing\n"
        "USER nobody\nRUN --mount=type=secret,id=k cat /run/secrets/k || echo not mine\n"
        "RUN --mount=type=secret,id=k,uid=65534,mode=0440,target=/x/y cat /x/y; echo; ls -ln /x\n",
        *("--secret", secret),
    )
    lines = said.splitlines()
    assert lines[:3] == [VALUE, "0:0 400", "1"]
    assert lines[3].endswith("can't create /run/secrets/k: Read-only file system")
    assert lines[4].startswith("rm: can't remove '/run/secrets/k'")
    assert lines[5:7] == ["refused", "nothing"]
    assert lines[7].endswith("Permission denied")
    assert lines[8:10] == ["not mine", VALUE]
    assert lines[-1].startswith("-r--r-----    1 65534    0")
    assert not {name for name in build.image()[0] if name.split("/")[0] in ("run", "x")}


def test_variables(build, secret, rootless):  # noqa: F811
    rootless.environment["TOKEN"] = "from the environment"
    text = (
        "FROM busybox\nRUN --mount=type=secret,id=k,env=K echo $K; ls /run 2>/dev/null || true\n"
        "RUN --mount=type=secret,id=k,env=K,target=/k echo $K $(cat /k)\n"
        "RUN --mount=type=secret,id=TOKEN cat /run/secrets/TOKEN; echo\n"
        "RUN --mount=type=secret,id=t,env=T echo $T\n"
        "RUN --mount=type=secret,id=none,env=N echo ${N-unset}\n"
        "RUN echo ${K-gone} ${T-gone}\n"
    )
    flags = ("--secret", secret, "--secret", "id=TOKEN", "--secret", "type=env,id=t,src=TOKEN")
    assert build(text, *flags).splitlines() == [
        *(VALUE, f"{VALUE} {VALUE}", "from the environment", "from the environment"),
        *("unset", "gone gone"),
    ]


def test_it_is_nowhere(build, secret, rootless, tmp_path):  # noqa: F811
    """In no file of the store, image, history, log or key, and on no command line meanwhile."""
    folder = tmp_path / "context"
    (folder / "Dockerfile").write_text(
        "FROM busybox\nRUN --mount=type=secret,id=k --mount=type=secret,id=k,env=K "
        "wc -c < /run/secrets/k; echo ready; sleep 3; exit 5\n"
    )
    command = rootless.command("build", "--progress=plain", "--secret", secret, folder)
    running = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=rootless.environment)
    assert running.stderr is not None
    said = ""
    while not said.endswith(" ready\n"):
        said += running.stderr.readline()
        assert running.poll() is None, said
    assert saying(VALUE) == []
    assert holders(rootless.root) == []  # while the command runs
    said += running.stderr.read()
    running.stderr.close()
    assert running.wait() == 1
    assert printed(said) == "12\nready\n"
    assert VALUE not in said
    build(f"FROM busybox\nRUN --mount=type=secret,id=k {CAT} > /dev/null\n", "--secret", secret)
    assert holders(rootless.root) == []
    shown = rootless.ok("history", "--no-trunc", "test") + rootless.ok("inspect", "test")
    assert VALUE not in shown


def holders(folder) -> list[str]:
    """The files below a folder that hold the secret; read as the root that its layers belong to."""
    script = f"grep -rlF {VALUE} {folder}; exit 0"
    inside = [sys.executable, "-c", "import os, sys; from rootless import userns; userns.enter(); "
              "os.execvp('sh', ['sh', '-c', sys.argv[1]])", script]  # fmt: skip
    done = subprocess.run(inside, capture_output=True, text=True, check=True)
    return done.stdout.split()


def test_the_grep_of_these_tests_finds_one(build, secret, rootless):  # noqa: F811
    build(f"FROM busybox\nRUN --mount=type=secret,id=k {CAT} > /leaked\n", "--secret", secret)
    assert holders(rootless.root)


def test_another_value_repeats_nothing_and_another_id_does(build, secret, tmp_path):  # noqa: F811
    text = "FROM busybox\nRUN --mount=type=secret,id={} echo ran\n"
    assert build(text.format("k"), "--secret", secret) == "ran\n"
    (tmp_path / "secret.txt").write_text("another")
    assert build(text.format("k"), "--secret", secret) == ""
    assert build(text.format("j"), "--secret", secret) == "ran\n"


@pytest.mark.parametrize(
    ("mount", "flag", "problem"),
    [
        ("id=none,required", "id=k,src={tmp}/nul", "secret none: not found"),
        ("id=k", "id=k,src=/nonexistent", "secret k: /nonexistent: there is no such file"),
        ("id=k", "id=k,src=/", "is a directory"),
        ("id=k", "id=k,src=/dev/zero", "is a device"),
        ("id=k", "id=k,src={tmp}/fifo", "is a pipe"),
        ("id=k", "id=k,src={tmp}/big", "secret k too big. max size 500KiB"),
        ("id=k", "src=Dockerfile", "has no id"),
        ("id=k", "id=k,foo=bar", "unexpected key 'foo' in 'foo=bar'"),
        ("id=k", "type=vault,id=k", 'unsupported secret type "vault"'),
        ("id=k,env=K", "id=k,src={tmp}/nul", "secret k cannot be a variable"),
        ("id=k,uid=4000000", "id=k,src={tmp}/nul", "4000000"),
        ("id=k,target=/etc", "id=k,src={tmp}/nul", "/etc"),
    ],
)
def test_what_is_no_secret(build, tmp_path, mount, flag, problem):  # noqa: F811
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "big").write_bytes(bytes((500 << 10) + 1))
    (tmp_path / "nul").write_bytes(b"a\0b")
    said = build(
        f"FROM busybox\nRUN --mount=type=secret,{mount} echo ran\n",
        *("--secret", flag.format(tmp=tmp_path)),
        ok=False,
    )
    assert problem in said
    assert "\nran" not in said
    assert "Traceback" not in said


def test_a_shells_substitution(build, rootless):  # noqa: F811
    (build.context / "Dockerfile").write_text(
        f"FROM busybox\nRUN --mount=type=secret,id=k {CAT}\n"
        f"RUN --mount=type=secret,id=k {CAT} | wc -c\n"
    )
    words = " ".join(map(str, rootless.command("build", "--progress=plain", build.context)))
    script = f"{words} --secret id=k,src=<(echo {VALUE})"
    done = subprocess.run(
        ["bash", "-c", script], env=rootless.environment, capture_output=True, text=True, check=True
    )
    assert printed(done.stderr) == f"{VALUE}\n13\n"


class Agent:
    """Stands in for an ssh-agent: says what it was asked, in messages as OpenSSH defines them."""

    def __init__(self, path) -> None:
        self.asked: list[int] = []
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.bind(str(path))
        self._socket.listen()
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            connection, _ = self._socket.accept()
            with connection:
                size = int.from_bytes(connection.recv(4, socket.MSG_WAITALL), "big")
                if size:
                    message = connection.recv(size, socket.MSG_WAITALL)
                    self.asked.append(message[0])
                    answer = bytes([message[0] + 1]) + b"answer"
                    connection.sendall(len(answer).to_bytes(4, "big") + answer)


@pytest.fixture
def agent(tmp_path):
    found = Agent(tmp_path / "agent.sock")
    found.path = tmp_path / "agent.sock"
    return found


def test_a_command_asks_an_agent_only_for_keys_and_signatures(build, agent):  # noqa: F811
    """11 lists keys, 13 signs; 19 would remove all keys: no command of an image does that."""
    (build.context / "ask.py").write_text(
        "import os, socket, sys\n"
        "def ask(kind):\n"
        "    s = socket.socket(socket.AF_UNIX); s.connect(os.environ['SSH_AUTH_SOCK'])\n"
        "    s.sendall(bytes([0, 0, 0, 1, kind])); size = s.recv(4)\n"
        "    return s.recv(int.from_bytes(size, 'big'))\n"
        "print(os.environ['SSH_AUTH_SOCK'], *map(ask, (11, 13, 19, 25)), sep='\\n')\n"
        "found = os.stat(os.environ['SSH_AUTH_SOCK'])\n"
        "print(oct(found.st_mode), found.st_uid)\n"
    )
    python = os.path.realpath("/usr/bin/python3")
    text = (
        "FROM busybox\n{}RUN --mount=type=ssh{} --mount=source=ask.py,target=/ask.py {} /ask.py\n"
    )
    host = ("-v", "/usr:/usr:ro", "-v", "/lib:/lib:ro", "-v", "/lib64:/lib64:ro")
    said = build(text.format("", "", python), "--ssh", f"default={agent.path}", *host)
    assert said.splitlines() == [
        *("/run/buildkit/ssh_agent.0", r"b'\x0canswer'", r"b'\x0eanswer'", r"b'\x05'", r"b'\x05'"),
        "0o140600 0",
    ]
    assert agent.asked == [11, 13]
    flags = ("--ssh", f"git={agent.path}", *host)
    said = build(text.format("USER 33\n", ",id=git,uid=33,mode=0660,target=s", python), *flags)
    assert said.splitlines()[0] == "/s"
    assert said.splitlines()[-1] == "0o140660 33"
    assert not {"run", "s"} & set(build.image()[0])


def test_without_an_agent(build, rootless, agent):  # noqa: F811
    rootless.environment.pop("SSH_AUTH_SOCK", None)
    text = "FROM busybox\nRUN --mount=type=ssh{} ls $SSH_AUTH_SOCK || echo none\n"
    assert build(text.format("")).endswith("none\n")
    assert "unset ssh forward key default" in build(text.format(",required"), ok=False)
    said = build(text.format(""), "--ssh", "default", ok=False)
    assert "SSH_AUTH_SOCK is not set" in said
    said = build(text.format(""), "--ssh", "default=/nonexistent", ok=False)
    assert "/nonexistent" in said
    twice = ("--ssh", f"a={agent.path}", "--ssh", f"a={agent.path}")
    assert "duplicate agent ID" in build(text.format(""), *twice, ok=False)


@pytest.mark.needs("ssh-agent")
def test_key_files_are_served_by_an_agent_that_ends_with_the_build(build, tmp_path, rootless):  # noqa: F811
    key = tmp_path / "key"
    for name, phrase in (("key", ""), ("closed", "a phrase")):
        words = ["ssh-keygen", "-q", "-t", "ed25519", "-N", phrase, "-C", "mine", "-f", name]
        subprocess.run(words, cwd=tmp_path, check=True)
    text = "FROM busybox\nRUN --mount=type=ssh /usr/bin/ssh-add -l\n"
    host = ("-v", "/usr:/usr:ro", "-v", "/lib:/lib:ro", "-v", "/lib64:/lib64:ro")
    folder = tempfile.mkdtemp()  # the agent's socket is in there, and may not have a long name
    rootless.environment["TMPDIR"] = folder
    said = build(text, "--ssh", f"default={key}", *host)
    known = subprocess.run(
        ["ssh-keygen", "-l", "-f", f"{key}.pub"], capture_output=True, text=True, check=True
    )
    assert known.stdout.split()[1] in said
    assert saying(folder) == []
    for wrong in ("closed", "context/Dockerfile"):
        said = build(text, "--ssh", f"default={tmp_path / wrong}", *host, ok=False)
        assert "is no private key that an agent takes without a passphrase" in said


def test_a_secret_or_a_key_that_got_into_a_layer_is_told(build, rootless, secret):  # noqa: F811
    key = "-----BEGIN OPENSSH PRIVATE KEY-----\nb3Bl\n-----END OPENSSH PRIVATE KEY-----\n"
    (build.context / "id_ed25519").write_text(key)
    (build.context / "Dockerfile").write_text(
        "FROM busybox\nRUN --mount=type=secret,id=k mkdir /etc/app; "
        f"(echo -n token=; {CAT}) > /etc/app/config\nCOPY id_ed25519 /root/.ssh/\nRUN true\n"
    )
    said = rootless("build", "--progress=plain", "--secret", secret, build.context).stderr
    there = "is in a layer, for whoever gets that:"
    warned = [line for line in said.splitlines() if there in line]
    assert warned == [
        f"warning: the secret 'k' {there} /etc/app/config",
        f"warning: a private key {there} /root/.ssh/id_ed25519",
    ]
    assert VALUE not in said
