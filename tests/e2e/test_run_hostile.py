"""Images that want out: links where the container's own files go, odd users, odd configs."""

from __future__ import annotations

import os
import socket
import subprocess

import pytest

from tests.conftest import Rootless
from tests.support import child, evil_tars, images, machine

pytestmark = pytest.mark.needs("userns", "subids", "overlay", "busybox")

RUN = ("run", "--rm", "--network", "none")


@pytest.fixture(scope="module")
def store(tmp_path_factory, busybox_image):
    folder = tmp_path_factory.mktemp("hostile")
    command = Rootless(folder / "store")
    command.load(busybox_image, folder)
    yield command
    child.remove_tree(folder / "store")


@pytest.fixture
def victim(tmp_path):
    """A directory outside; nothing of it may change, or be seen inside."""
    folder = tmp_path / "victim"
    folder.mkdir(mode=0o755)
    (folder / "file").write_text("the host's secret")
    (folder / "file").chmod(0o644)
    before = (folder.stat().st_mtime_ns, (folder / "file").stat())
    yield folder
    assert os.listdir(folder) == ["file"]
    after = (folder / "file").stat()
    assert (folder / "file").read_text() == "the host's secret"
    assert (after.st_mode, after.st_mtime_ns, after.st_nlink) == (
        before[1].st_mode, before[1].st_mtime_ns, 1,
    )  # fmt: skip
    assert folder.stat().st_mtime_ns == before[0]


@pytest.fixture
def make(store, tmp_path):
    """`make(entries, config…)` puts busybox and the entries into an image; its name."""

    def make(files: dict[str, bytes | str], raw: bytes = b"", **config: object) -> str:
        program = machine.static_busybox().read_bytes()
        layers = [images.layer({"bin/": b"", "bin/busybox": program, "bin/sh": "busybox", **files})]
        if raw:
            layers.append(raw + evil_tars.END)
        image = images.write_layout(tmp_path / "image", "evil:1", layers, config)
        store.ok("load", "-i", image.archive(tmp_path / "evil.tar"))
        return "evil:1"

    return make


def sh(script: str) -> tuple[str, ...]:
    return ("/bin/busybox", "sh", "-c", script)


@pytest.mark.parametrize("name", ["dev", "proc", "sys", "etc"])
@pytest.mark.parametrize("relative", [False, True])
def test_where_the_containers_own_things_go_is_a_link_outside(store, make, victim, name, relative):
    target = f"../../../../../../../..{victim}" if relative else str(victim)
    image = make({name: target})
    result = store(*RUN, image, *sh(f"/bin/busybox cat {victim}/file; echo alive"), timeout=120)
    assert result.exit == 0, result.stderr
    assert result.stdout == "alive\n"


@pytest.mark.parametrize(
    "target", ["{victim}/file", "{victim}/new", "/run/nowhere/resolv.conf", "loop"]
)
@pytest.mark.parametrize("name", ["resolv.conf"])
def test_generated_files_of_etc_are_links(store, make, victim, name, target):
    target = target.format(victim=victim).replace("loop", name)
    result = store(*RUN, make({"etc/": b"", f"etc/{name}": target}), *sh("echo alive"))
    if target == name:
        assert (result.exit, "symbolic links" in result.stderr) == (125, True)
    else:
        assert result.stdout == "alive\n", result.stderr


@pytest.mark.parametrize("kind", ["fifo", "link", "device"])
@pytest.mark.parametrize("user", ["", "nobody"])
def test_passwd_is_something_else(store, make, victim, kind, user):
    entry = {
        "fifo": evil_tars.member(b"etc/passwd", b"6"),
        "link": evil_tars.symlink(b"etc/passwd", b"/../../../../etc/passwd"),
        "device": evil_tars.symlink(b"etc/passwd", b"/dev/zero"),
    }[kind]
    image = make({"etc/": b""}, entry)
    script = ("/bin/busybox", "awk", "/^Uid/{print $2}", "/proc/self/status")
    result = store(*RUN, *(("-u", user) if user else ()), image, *script, timeout=120)
    if user == "nobody":
        assert (result.exit, "there is no user" in result.stderr) == (125, True)
    else:
        assert result.stdout == "0\n", result.stderr


def test_a_numeric_name_is_no_way_to_root(store, make):
    image = make({"etc/": b"", "etc/passwd": b"1000:x:0:0::/:/bin/sh\n"}, User="1000")
    assert store.ok(*RUN, image, *sh("/bin/busybox id -u")) == "1000\n"


@pytest.mark.parametrize("path", ["/proc/self/fd/3", "/proc/self/fd/9", "/proc/1/cwd"])
def test_working_directories_that_are_the_kernels_links(store, path):
    """CVE-2024-21626: a descriptor of the host that was left open would be a way out."""
    result = store(*RUN, "-w", path, "busybox", "cat", "../../../../etc/hostname")
    assert result.exit == 125
    assert result.stdout == ""
    assert "Traceback" not in result.stderr


def test_a_link_as_working_directory_stays_inside(store, make, victim):
    image = make({"w": str(victim)}, WorkingDir="/w/new")
    assert store.ok(*RUN, image, *sh("pwd")) == f"{victim}/new\n"


@pytest.mark.parametrize(
    "config",
    [
        {"Cmd": ["/bin/busybox\0x"]},
        {"Cmd": ["\ud800"]},
        {"Cmd": [""]},
        {"Cmd": []},
        {"Cmd": ["n" * 100_000]},
        {"Env": ["=x"], "Cmd": ["/bin/busybox", "true"]},
        {"Env": ["A\0=x"], "Cmd": ["/bin/busybox", "true"]},
        {"Env": ["PATH=" + "p:\n\0" * 1000], "Cmd": ["x"]},
        {"User": "\x1b[31m\ud800", "Cmd": ["/bin/busybox", "true"]},
        {"User": "u" * 100_000, "Cmd": ["/bin/busybox", "true"]},
        {"WorkingDir": "../..", "Cmd": ["/bin/busybox", "true"]},
        {"WorkingDir": "/\0", "Cmd": ["/bin/busybox", "true"]},
        {"WorkingDir": "/" + "d" * 300, "Cmd": ["/bin/busybox", "true"]},
        {"WorkingDir": "/" + "d/" * 3000, "Cmd": ["/bin/busybox", "true"]},
    ],
)
def test_odd_configs_give_a_sentence(store, make, config):
    result = store(*RUN, make({}, **config), timeout=120)
    assert result.exit in (0, 125, 126, 127), result.stderr
    assert "Traceback" not in result.stderr
    assert result.stderr.startswith("error: ") or result.exit == 0
    assert "\x1b" not in result.stderr
    assert os.listdir(store.root / "containers") == []


def test_devices_of_the_image_do_not_matter(store, make):
    image = make({"dev/": b"", "dev/null": "/proc/sysrq-trigger", "dev/console": "/proc/kcore"})
    script = "echo x >/dev/null; [ -c /dev/null ] && /bin/busybox cat /proc/keys"
    assert store.ok(*RUN, image, *sh(script)) == ""


def test_the_launcher_cannot_be_reached_through_proc_exe(store, make):
    """CVE-2019-5736: #!/proc/self/exe starts what the container has, never the host's Python."""
    result = store(*RUN, make({"evil": b"#!/proc/self/exe\n"}), "/evil")
    assert result.exit in (0, 1, 126, 127)
    assert "Python" not in result.stdout + result.stderr


def test_leaked_descriptors_and_groups(store, tmp_path):
    leaked = os.open("/etc/passwd", os.O_RDONLY)
    argv = store.command(*RUN, "-i", "busybox", "sh", "-c", "ls /proc/self/fd; id -G")
    answer = subprocess.run(
        argv, pass_fds=(leaked,), env=store.environment, capture_output=True, check=True
    )
    os.close(leaked)
    assert answer.stdout.split() == [b"0", b"1", b"2", b"3", b"0"]


def test_abstract_sockets_and_the_hosts_loopback(store):
    with socket.socket(socket.AF_UNIX) as hidden, socket.create_server(("127.0.0.1", 0)) as server:
        name = f"rootless-test-{os.getpid()}"
        hidden.bind(f"\0{name}")
        hidden.listen()
        port = server.getsockname()[1]
        script = f"grep -c {name} /proc/net/unix; nc -w 2 127.0.0.1 {port} </dev/null; true"
        result = store("run", "--rm", "--network", "none", "busybox", "sh", "-c", script)
    assert result.stdout == "0\n"


def test_the_container_cannot_reach_its_supervisor(store):
    script = "ls -d /proc/[0-9]* | wc -l; kill -0 2 2>/dev/null || echo alone"
    assert store.ok(*RUN, "busybox", "sh", "-c", script).split()[-1] == "alone"
