"""Flags of `build` that say what its commands are given, and the shell where one has failed."""

from __future__ import annotations

import pytest

from tests.e2e.test_run_mounts import build, printed  # noqa: F401 - a fixture
from tests.support.terminal import Terminal

pytestmark = pytest.mark.needs("userns", "subids", "overlay", "busybox")


def test_hosts_names_and_resolvers(build):  # noqa: F811
    said = build(
        "FROM busybox\nRUN cat /etc/hosts\nRUN hostname; cat /etc/resolv.conf\n",
        *("--add-host", "foo:1.2.3.4", "--add-host", "bar=::1", "--dns", "9.9.9.9"),
        *("--dns-search", "example.org", "--dns-option", "ndots:2"),
        *("--build-arg", "BUILDKIT_SANDBOX_HOSTNAME=builder"),
    )
    lines = [" ".join(line.split()) for line in said.splitlines()]
    assert lines[:4] == [
        *("127.0.0.1 localhost builder", "::1 localhost ip6-localhost ip6-loopback"),
        *("1.2.3.4 foo", "::1 bar"),
    ]
    assert lines[4] == "builder"
    assert {"nameserver 9.9.9.9", "search example.org", "options ndots:2"} <= set(lines[5:])
    assert [one for one in lines[5:] if one.startswith("nameserver")] == ["nameserver 9.9.9.9"]
    assert build("FROM busybox\nRUN cat /etc/hosts # 2\n", "--no-hosts") == ""


def test_limits_memory_powers(build, rootless):  # noqa: F811
    said = build(
        "FROM busybox\nRUN --mount=type=tmpfs,target=/a/b --mount=type=cache,target=/c "
        "ulimit -n; ulimit -Hn; "
        "df -k /dev/shm | tail -1 | tr -s ' ' | cut -d' ' -f2; "
        "grep -E 'CapEff|NoNew|Seccomp:' /proc/self/status | tr -d '\\t'\n",
        *("--ulimit", "nofile=20:30", "--shm-size", "10m", "--cap-drop", "all"),
        *("--cap-add", "NET_RAW", "--security-opt", "no-new-privileges"),
        *("--security-opt", "seccomp=unconfined"),
    )
    assert said.splitlines() == [
        *("20", "30", "10240", "CapEff:0000000000002000", "NoNewPrivs:1", "Seccomp:0"),
    ]
    said = build(
        "FROM busybox\nRUN --security=insecure grep -E 'CapEff|Seccomp:' /proc/self/status; "
        "head -c 1 /proc/keys | wc -c\n",
        *("--allow", "security.insecure"),
    )
    capabilities = int(said.splitlines()[0].split()[1], 16)
    assert capabilities >= (1 << 38) - 1
    assert said.splitlines()[1].split() == ["Seccomp:", "0"]
    flags = ("--memory", "64m", "--cpu-shares", "5", "--cgroup-parent", "x", "-c", "2")
    (build.context / "Dockerfile").write_text("FROM busybox\nRUN echo it runs\n")
    told = rootless("build", "--progress=plain", *flags, build.context)
    assert told.exit == 0
    assert told.stderr.count("warning: --cgroup-parent, --cpu-shares, --memory") == 1


def test_volumes_and_devices(build, tmp_path):  # noqa: F811
    (tmp_path / "v").mkdir()
    (tmp_path / "v/f").write_text("mine\n")
    said = build(
        "FROM busybox\nRUN cat /v/f; echo new > /v/g; echo x > /ro/x || echo refused\n"
        "RUN ls -l /dev/extra | cut -c1; : > /dev/extra\n",
        *(
            "-v",
            f"{tmp_path}/v:/v:Z",
            "-v",
            f"{tmp_path}/v:/ro:ro",
            "--device",
            "/dev/null:/dev/extra",
        ),
    )
    assert said.splitlines()[0] == "mine"
    assert said.splitlines()[-2:] == ["refused", "c"]
    assert (tmp_path / "v/g").read_text() == "new\n"
    assert not {"v", "ro"} & set(build.image()[0])


def test_variables_of_image_and_file(build, rootless, tmp_path):  # noqa: F811
    (tmp_path / "args").write_text("# words\n\nA=from the file\nB=2\n")
    rootless.environment["MINE"] = "outside"
    said = build(
        "FROM busybox\nARG A\nARG B\nENV E=mine\nRUN echo $A, $B, $E, $X, $MINE\n",
        *("--build-arg-file", tmp_path / "args", "--build-arg", "B=3"),
        *("--env", "E=other", "--env", "X=x", "--env", "MINE", "--unsetenv", "E"),
    )
    assert said == "from the file, 3, mine, x, outside\n"
    shown = rootless.ok("inspect", "--format", "{{json .Config.Env}}", "test")
    assert '"X=x"' in shown
    assert '"E=' not in shown


def test_what_is_given_repeats_nothing(build):  # noqa: F811
    text = "FROM busybox\nRUN echo ran\n"
    assert build(text) == "ran\n"
    flags = (
        "--add-host",
        "a:1.1.1.1",
        "--ulimit",
        "nofile=99",
        "--shm-size",
        "1m",
        "-v",
        "/usr:/u:ro",
    )
    assert build(text, *flags, "--cap-drop", "all", "--build-arg", "http_proxy=http://p") == ""
    assert build("FROM busybox\nRUN --network=none echo ran\n") == "ran\n"


@pytest.mark.parametrize(
    ("flags", "problem"),
    [
        (("--add-host", "foo"), "bad format for add-host"),
        (("--ulimit", "foo=1"), 'invalid argument "foo=1" for "--ulimit"'),
        (("--ulimit", "nofile=2:1"), "soft limit must be less"),
        (("--shm-size", "big"), "--shm-size 'big' is not a size"),
        (("--cap-add", "nope"), "no capability is called 'nope'"),
        (("--security-opt", "nope"), "Invalid --security-opt"),
        (("--allow", "foo"), "unknown entitlement foo"),
        (("--dns", "nope"), "is not an IP address"),
        (("--device", "/nonexistent"), "/nonexistent"),
        (("--device", "/etc/passwd"), "is not a device"),
        (("--device", "a/b=c"), "there is no CDI device a/b=c"),
        (("-v", "/nonexistent:/x"), "/nonexistent"),
        (("-v", "/usr:/"), "container's root"),
        (("--env", "=x"), "has no name"),
        (("--build-arg-file", "/nonexistent"), "/nonexistent"),
        (("--ssh", "=x"), "has no id"),
    ],
)
def test_what_is_wrong_is_said_before_anything_runs(build, flags, problem):  # noqa: F811
    said = build("FROM busybox\nRUN echo ran\n", *flags, ok=False)
    assert problem in said
    assert "Traceback" not in said
    assert "#1" not in said


def test_a_shell_where_a_command_failed(build, rootless, tmp_path):  # noqa: F811
    (tmp_path / "s").write_text("the secret")
    (build.context / "Dockerfile").write_text(
        "FROM busybox\nENV WORD=hello\nWORKDIR /w\nRUN chmod 777 /w\nUSER nobody\n"
        "RUN --mount=type=secret,id=s,uid=65534 --mount=type=tmpfs,target=/t touch made && false\n"
    )
    words = ("build", "--debug-shell", "--progress", "plain", "--secret", f"id=s,src={tmp_path}/s")
    terminal = Terminal(rootless.command(*words, build.context), rootless.environment)
    terminal.expect("a shell where the command failed")
    terminal.expect("$ ")
    terminal.type("echo $WORD-$(id -un)-$(pwd)-$(ls)-$(cat /run/secrets/s)-$(stat -c %a /t); tty\n")
    terminal.expect("hello-nobody-/w-made-the secret-1777")
    terminal.expect("/dev/pts/0")
    terminal.type("sh -c 'echo go$((1+1)); exec sleep 1000'\n")
    terminal.expect("go2")
    terminal.type("\x03")  # ends what runs in the shell, not the build
    terminal.type("echo still $((40+2))\n")
    terminal.expect("still 42")
    terminal.expect("$ ")  # else the shell may not listen yet
    terminal.type("\x04")
    terminal.expect("exit code: 1")
    assert terminal.close() == 1


def test_without_a_terminal_it_is_said_how(build):  # noqa: F811
    text = "FROM busybox\nRUN exit 3\n"
    assert "rootless build --debug-shell" in build(text, ok=False)
    said = build(text, "--debug-shell", ok=False)
    assert "there is no terminal to type on" in said
    assert "exit code: 3" in said


def test_an_image_without_a_shell(build, rootless):  # noqa: F811
    (build.context / "Dockerfile").write_text(
        'FROM scratch\nRUN --mount=from=busybox,source=/bin,target=/b ["/b/nope"]\n'
    )
    words = rootless.command("build", "--debug-shell", "--progress", "plain", build.context)
    terminal = Terminal(words, rootless.environment)
    terminal.expect("no shell can be opened")
    assert terminal.close() == 1
