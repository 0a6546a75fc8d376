"""Machines in the field: each lack made for real, what `doctor` says of it, and what goes on."""

from __future__ import annotations

import errno
import json
import os
import shlex
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from rootless import linux
from tests.support import field, machine
from tests.support.field import Machine

pytestmark = pytest.mark.needs("userns", "subids")

KERNEL = "/proc/sys/kernel"


def doctor(rootless, there: Machine) -> dict[str, dict[str, object]]:
    """The lines of `doctor --json` on that machine, by name; "way" is the end of it."""
    rootless.prefix = there.prefix
    result = rootless("doctor", "--json", cwd=machine.PROJECT)
    found = json.loads(result.stdout)
    lines = {check["name"]: check for check in found["checks"]}
    missing = [check for check in lines.values() if check["required"] and not check["ok"]]
    assert found["ok"] == (not missing)
    assert result.exit == bool(missing), result.stderr
    assert all(check["fix"] for check in lines.values() if not check["ok"])
    return {**lines, "way": found["way"]}


ROOT = "root:x:0:0:root:/root:/bin/sh\n"
SSS = {"/etc/nsswitch.conf": "passwd: files\nsubid: sss\n"}
LACKS = {
    "apparmor": (
        Machine(
            denied={"mount": errno.EACCES, "chroot": errno.EPERM},
            shown={KERNEL: {"apparmor_restrict_unprivileged_userns": "1"}},
        ),
        "AppArmor forbids user namespaces to programs without a profile",
        "rootless doctor --apparmor | sudo tee /etc/apparmor.d/rootless",
    ),
    "debian": (
        Machine(
            denied={"unshare": errno.EPERM},
            shown={KERNEL: {"unprivileged_userns_clone": "0"}},
        ),
        "this kernel is set to forbid user namespaces",
        "sudo sysctl -w kernel.unprivileged_userns_clone=1",
    ),
    "none": (
        Machine(namespaces=0),
        "user.max_user_namespaces is 0",
        "sudo sysctl -w user.max_user_namespaces=15000",
    ),
    "seccomp": (
        Machine(denied={"unshare": errno.EPERM}),
        "probably by the seccomp profile of a container",
        "--security-opt seccomp=unconfined",
    ),
    "seccomp of mounts": (
        Machine(denied={"mount": errno.EPERM, "chroot": errno.EPERM}),
        "mount in a user namespace is forbidden here: probably by the seccomp profile",
        "--security-opt seccomp=unconfined",
    ),
}


NO_PROOT = (field.PROOT,)


@pytest.mark.parametrize("lack", LACKS)
def test_no_user_namespace(rootless, lack):
    there, detail, fix = LACKS[lack]
    found = doctor(rootless, there._replace(hidden=NO_PROOT))
    assert detail in found["user namespace"]["detail"]
    assert fix in found["user namespace"]["fix"]
    assert found["commands"]["fix"] == "install the package proot, or see user namespace"
    assert (found["way"]["rung"], found["way"]["storage"]) == (4, "copies")


@pytest.mark.parametrize("lack", LACKS)
def test_the_error_says_the_same_and_points_to_doctor(rootless, busybox_image, tmp_path, lack):
    archive = busybox_image.archive(tmp_path / "base.tar")
    there, detail, fix = LACKS[lack]
    rootless.prefix = there._replace(hidden=NO_PROOT).prefix
    rootless.ok("load", "-i", archive, cwd=machine.PROJECT)
    result = rootless("run", "busybox", "true", cwd=machine.PROJECT)
    assert result.exit == 125
    assert detail in result.stderr
    assert fix in result.stderr
    assert "'rootless doctor' tries all that is needed here" in result.stderr


@pytest.mark.parametrize("number", [errno.EACCES, errno.EPERM])
def test_namespaces_without_mounts(rootless, busybox_image, tmp_path, number):
    """AppArmor or a filter lets a program in, and then forbids mounts: copies do, owners too."""
    there = Machine(denied={"mount": number})
    _works_in_copies(rootless, busybox_image, tmp_path, there)
    script = """rootless run -d --name with made sleep 1000 >/dev/null
rootless run --rm --network container:with made echo joined
rootless run --rm --pid container:with made echo joined || rootless rm -f with
"""
    answer = _script(rootless, there, script)
    assert (answer.returncode, answer.stdout) == (0, "joined\nwith\n"), answer.stderr
    assert "this needs namespaces of another container" in answer.stderr


def test_a_store_on_an_overlay(rootless, busybox_image, tmp_path):
    """As in a container that is not root's, started without a volume for the images."""
    for name in ("lower", "upper", "work"):
        (tmp_path / name).mkdir()
    rootless.root.mkdir()
    folders = f"lowerdir={tmp_path}/lower,upperdir={tmp_path}/upper,workdir={tmp_path}/work"
    there = Machine(mounts=(("overlay", str(rootless.root), 0, f"{folders},userxattr"),))
    found = _works_in_copies(rootless, busybox_image, tmp_path, there)
    assert "on which no other can be stacked" in found["user namespace"]["detail"]
    assert "ROOTLESS_ROOT" in found["user namespace"]["fix"]
    (tmp_path / "work" / "work").chmod(0o700)  # so that it can be taken away


OLD = """
#include <string.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>
int uname(struct utsname *name) {
    int code = syscall(SYS_uname, name);
    strcpy(name->release, "5.10.0-33-amd64");
    return code;
}
"""
SINCE = ("epoll_pwait2", "mount_setattr", "landlock_create_ruleset")


def old_kernel(rootless, folder: Path) -> None:
    """Let what `rootless` asks its C library say that the kernel is Debian 11's."""
    (folder / "old.c").write_text(OLD)
    built = ("gcc", "-shared", "-fPIC", "-o", "old.so", "old.c")
    subprocess.run(built, cwd=folder, check=True)
    rootless.environment["LD_PRELOAD"] = str(folder / "old.so")


@pytest.mark.needs("gcc")
def test_a_kernel_without_overlayfs_for_users(rootless, busybox_image, tmp_path):
    """Debian 11's: calls that came later are not there, and it says its number."""
    old_kernel(rootless, tmp_path)
    there = Machine(denied=dict.fromkeys(SINCE, errno.ENOSYS))
    found = _works_in_copies(rootless, busybox_image, tmp_path, there)
    assert found["kernel"]["detail"] == "Linux 5.10.0-33-amd64: users may mount no overlayfs"
    assert found["kernel"]["required"] is False
    assert "Linux 5.10.0-33-amd64 is too old" in found["user namespace"]["detail"]


def _works_in_copies(rootless, busybox_image, tmp_path, there):
    found = doctor(rootless, there)
    assert found["user namespace"]["required"] is False
    assert found["copies"]["ok"]
    assert (found["way"]["rung"], found["way"]["storage"]) == (3, "copies")
    assert found["way"]["name"] == "a user namespace without mounts"
    rootless.load(busybox_image, tmp_path)
    (tmp_path / "Dockerfile").write_text("FROM busybox\nRUN echo 1 > /a && chown 33:34 /a\n")
    rootless.ok("build", "-q", "-t", "made", tmp_path, cwd=machine.PROJECT)
    answer = rootless("run", "--rm", "made", "stat", "-c", "%u:%g", "/a", cwd=machine.PROJECT)
    assert answer.stdout == "33:34\n", answer.stderr
    assert "kept apart from nothing but files" in answer.stderr
    _executes_inside(rootless, there)
    return found


def _executes_inside(rootless, there):
    """There is a mount namespace to enter, but all of this machine's files are in it."""
    script = """rootless run -d --name there made sleep 1000 >/dev/null
rootless exec there cat /etc/machine-id && exit 1
rootless exec there stat -c %u:%g /a
rootless rm -f there >/dev/null
"""
    answer = _script(rootless, there, script)
    assert (answer.returncode, answer.stdout) == (0, "33:34\n"), answer.stderr


@pytest.mark.parametrize(
    ("there", "detail", "fix"),
    [
        (Machine(newuidmap="missing"), "no newuidmap", "apt-get install uidmap"),
        (Machine(newuidmap="plain"), "has lost its setuid bit", "sudo chmod u+s /usr/bin/newuid"),
        (Machine(ranges=""), "no line in /etc/subuid", "--add-subuids 100000-165535"),
        (Machine(no_new_privs=True), "no_new_privs is set", "outside of the sandbox"),
        (Machine(files={"/etc/passwd": ROOT}), "has no name", ":/bin/sh | sudo tee -a /etc/passwd"),
        (Machine(ranges="", files=SSS), "says 'subid: sss', which gives", "subid: files/"),
    ],
    ids=["missing", "plain", "ranges", "privs", "nameless", "sss"],
)
def test_one_id(rootless, busybox_image, tmp_path, there, detail, fix):
    """What needs no more goes on: a bit that an image's layer has lost is no end."""
    found = doctor(rootless, there)
    assert detail in found["ids"]["detail"]
    assert fix in found["ids"]["fix"]
    assert found["way"]["rung"] == 2
    archive = busybox_image.archive(tmp_path / "base.tar")
    rootless.ok("load", "-i", archive, cwd=machine.PROJECT)
    run = ("run", "--rm", "--network", "none", busybox_image.name, "id", "-u")
    assert rootless.ok(*run, cwd=machine.PROJECT) == "0\n"


def _directory(folder: Path, services: str) -> Machine:
    """A machine whose user is known by a service in the network only."""
    source = Path(machine.__file__).with_name("directory.c")
    who = (f"-DUID={os.getuid()}", f"-DGID={os.getgid()}")
    libraries = folder / "libraries"
    libraries.mkdir()
    for name in ("libnss_away.so.2", "libsubid_away.so"):
        built = ("gcc", "-shared", "-fPIC", *who, "-o", libraries / name, source)
        subprocess.run(built, check=True)
    system = f"/usr/lib/{sysconfig.get_config_var('MULTIARCH')}"
    options = f"lowerdir={libraries}:{system},userxattr"
    files = {"/etc/passwd": ROOT, "/etc/nsswitch.conf": services}
    return Machine(ranges="", files=files, mounts=(("overlay", system, 0, options),))


@pytest.mark.needs("gcc")
def test_a_user_of_a_directory(rootless, busybox_image, tmp_path):
    """usermod knows nobody who is not in the file."""
    there = _directory(tmp_path, "passwd: files away\n")
    found = doctor(rootless, there)
    assert found["ids"]["detail"].startswith("no line in /etc/subuid")
    fix = "echo ada:100000:65536 | sudo tee -a /etc/subuid /etc/subgid"
    assert found["ids"]["fix"] == fix
    assert found["way"]["rung"] == 2
    rootless.load(busybox_image, tmp_path)
    run = ("run", "--rm", "--network", "none", "busybox", "id", "-u")
    assert rootless.ok(*run, cwd=machine.PROJECT) == "0\n"
    files = {
        **there.files,
        "/etc/subuid": "ada:100000:20000\n",
        "/etc/subgid": "ada:100000:20000\n",
    }
    found = doctor(rootless, there._replace(files=files))
    assert found["ids"]["detail"] == "20001 uids can be mapped"


@pytest.mark.needs("gcc", "getsubids")
def test_a_directory_that_gives_ids(rootless, busybox_image, tmp_path):
    """As sssd does from FreeIPA: the files say nothing, and newuidmap asks there, too."""
    found = doctor(rootless, _directory(tmp_path, "passwd: files away\nsubid: away\n"))
    assert found["ids"]["detail"] == "20001 uids can be mapped"
    assert found["way"]["rung"] == 1
    rootless.load(busybox_image, tmp_path)
    run = ("run", "--rm", "--network", "none", "busybox", "sh", "-c")
    shown = rootless.ok(*run, "echo > /a; chown 33:34 /a; stat -c %u:%g /a", cwd=machine.PROJECT)
    assert shown == "33:34\n"


def test_a_helper_with_its_bit_gives_a_range(rootless):
    found = doctor(rootless, Machine())
    assert found["ids"]["detail"] == "20001 uids can be mapped"
    assert (found["way"]["rung"], found["way"]["storage"]) == (1, "overlayfs")


def test_an_old_kernel(rootless):
    found = doctor(rootless, Machine(old_kernel=True))
    assert found["kernel"]["detail"].startswith("Linux 2.6.")


@pytest.mark.parametrize("call", ["openat2", "close_range"])
@pytest.mark.parametrize(
    ("number", "detail", "fix"),
    [
        (errno.ENOSYS, "is too old: it has no {}", "a kernel from 5.12 on"),
        (errno.EPERM, "{} is forbidden here: by an old seccomp profile", "docker 20.10.10"),
    ],
    ids=["kernel", "profile"],
)
def test_what_came_with_later_kernels(rootless, busybox_image, tmp_path, call, number, detail, fix):
    """As on RHEL 8, and in a container of a docker from before: no verb says less."""
    found = doctor(rootless, Machine(denied={call: number}))
    assert detail.format(call) in found["user namespace"]["detail"]
    assert fix in found["user namespace"]["fix"]
    archive = busybox_image.archive(tmp_path / "base.tar")
    refused = rootless("load", "-i", archive, cwd=machine.PROJECT)
    assert refused.exit == 1
    assert detail.format(call) in refused.stderr
    assert fix in refused.stderr
    assert "rootless doctor" in refused.stderr


def test_a_hidden_part_of_proc(rootless, busybox_image, tmp_path):
    """As in a container of docker's without its filter: steps are shown that /proc, which keeps
    what is others'.
    """
    found = doctor(rootless, Machine(hidden=("/proc/interrupts",)))
    assert "a part of /proc is hidden here" in found["proc"]["detail"]
    assert "unmask=ALL" in found["proc"]["fix"]
    assert found["proc"]["required"] is False
    rootless.load(busybox_image, tmp_path)
    (tmp_path / "Dockerfile").write_text(
        "FROM busybox\nRUN grep -c . /proc/self/status && readlink /proc/self/exe > /made\n"
    )
    rootless.ok("build", "-q", "-t", "made", tmp_path, cwd=machine.PROJECT)
    run = ("run", "--rm", "--network", "none", "made", "sh", "-c")
    assert rootless.ok(*run, "cat /made", cwd=machine.PROJECT) == "/bin/busybox\n"
    other = f"/proc/{os.getpid()}"
    look = f"ls {other}/status; cat {other}/environ || cat {other}/root/etc/hostname || echo kept"
    assert rootless.ok(*run, look, cwd=machine.PROJECT) == f"{other}/status\nkept\n"
    hidden = "cat /proc/interrupts /proc/keys; echo 1 > /proc/sys/kernel/panic || echo kept"
    assert rootless.ok(*run, hidden, cwd=machine.PROJECT) == "kept\n"


def test_a_hidden_part_of_proc_and_one_id(rootless, busybox_image, tmp_path):
    """Who answers for the ids looks processes up in a /proc that has their numbers."""
    found = doctor(rootless, Machine(hidden=("/proc/interrupts",), ranges=""))
    assert "with one id containers need their own" in found["proc"]["detail"]
    assert found["proc"]["required"]
    rootless.load(busybox_image, tmp_path)
    refused = rootless("run", "--rm", "busybox", "true", cwd=machine.PROJECT)
    assert refused.exit == 125
    assert "with one id containers need their own" in refused.stderr
    assert "systempaths=unconfined" in refused.stderr
    assert "rootless doctor" in refused.stderr


def test_selinux_is_a_note(rootless):
    found = doctor(rootless, Machine(shown={"/sys/fs": {"selinux/enforce": "1"}}))
    assert found["SELinux"]["required"] is False
    assert "ausearch" in found["SELinux"]["fix"]
    assert "SELinux" not in doctor(rootless, Machine())


def _on(rootless, kind: str, flags: int, options: str = "") -> Machine:
    rootless.root.mkdir()
    return Machine(mounts=((kind, str(rootless.root), flags, options),))


def test_a_store_that_can_hold_no_attributes(rootless):
    """As on NFS before Linux 5.9; ramfs has none either."""
    found = doctor(rootless, _on(rootless, "ramfs", 0))
    assert "on ramfs: files there can have no user xattrs" in found["store"]["detail"]
    assert "ROOTLESS_ROOT" in found["store"]["fix"]
    assert found["way"]["storage"] == "none"
    assert not list(rootless.root.iterdir())


GIVING = ("fchownat", "chown", "lchown", "fchown")


def test_a_store_whose_files_stay_ones_own(rootless, busybox_image, tmp_path):
    """As on NFS, whose server believes no root."""
    found = doctor(rootless, Machine(denied=dict.fromkeys(GIVING, errno.EPERM)))
    assert "cannot be given to the ids of containers" in found["store"]["detail"]
    assert "ROOTLESS_ROOT" in found["store"]["fix"]
    archive = busybox_image.archive(tmp_path / "base.tar")
    refused = rootless("load", "-i", archive, cwd=machine.PROJECT)
    assert (refused.exit, refused.stdout) == (1, "")
    assert "cannot be given to 0:0: the file system of the store" in refused.stderr
    assert "ROOTLESS_ROOT" in refused.stderr
    assert "'rootless doctor' tries all that is needed here" in refused.stderr


@pytest.mark.parametrize("ranges", [None, ""], ids=["range", "one id"])
def test_what_keeps_no_attributes_makes_no_wrong_image(rootless, busybox_image, tmp_path, ranges):
    """A directory that replaces another would show through; with one id owners would be lost."""
    rootless.root.mkdir()
    ramfs = (("ramfs", str(rootless.root), 0, ""),)
    archive = busybox_image.archive(tmp_path / "base.tar")
    (tmp_path / "Dockerfile").write_text("FROM busybox\nRUN true\n")
    there = Machine(ranges=ranges, mounts=ramfs)
    script = f"rootless load -q -i {archive}; rootless build {tmp_path}"
    answer = _script(rootless, there, script)
    assert answer.returncode == 1, answer.stdout
    assert "the file system of the store keeps no user xattrs" in answer.stderr
    assert "ROOTLESS_ROOT" in answer.stderr
    assert "rootless doctor" in answer.stderr


def test_a_store_that_cannot_be_written(rootless):
    found = doctor(rootless, _on(rootless, "tmpfs", linux.MS_RDONLY))
    assert "Read-only file system" in found["store"]["detail"]


def test_doctor_leaves_nothing(rootless, tmp_path):
    found = doctor(rootless, Machine())
    assert found["store"]["ok"]
    assert list(tmp_path.iterdir()) == []


def _script(rootless, there: Machine, script: str, **options) -> subprocess.CompletedProcess[str]:
    """A shell on that machine, in which `rootless` is ours."""
    ours = shlex.join([sys.executable, "-m", "rootless", "--root", str(rootless.root)])
    lines = f'set -e\nrootless() {{ {ours} "$@"; }}\n{script}'
    command = [*there.prefix, "sh", "-c", lines]
    options = {"capture_output": True, "env": rootless.environment, **options}
    return subprocess.run(command, text=True, check=False, cwd=machine.PROJECT, **options)


WORK = """\
rootless load -q -i {archive} >/dev/null
printf 'FROM {name}\\nRUN echo built > /y\\nCOPY f /f\\n' > {folder}/Dockerfile
echo copied > {folder}/f
rootless build -q -t made {folder} >/dev/null
rootless run --rm --network none made sh -c 'cat /y /f; stat -c %a /y /f /tmp'
"""
MADE = "built\ncopied\n644\n644\n1777\n"


@pytest.fixture
def work(busybox_image, tmp_path):
    folder = tmp_path / "context"
    folder.mkdir()
    archive = busybox_image.archive(tmp_path / "base.tar")
    return WORK.format(archive=archive, name=busybox_image.name, folder=folder)


def test_a_home_without_programs(rootless, work):
    """noexec: what is in the store is executed through overlayfs, another mount."""
    there = _on(rootless, "tmpfs", linux.MS_NOEXEC, "mode=755")
    found = doctor(rootless, there)
    assert "is mounted noexec" in found["noexec"]["detail"]
    answer = _script(rootless, there, work)
    assert (answer.returncode, answer.stdout) == (0, MADE), answer.stderr


def test_a_home_without_programs_nor_mounts(rootless, busybox_image, tmp_path):
    """What would run in copies cannot be started; what starts nothing is made."""
    there = _on(rootless, "tmpfs", linux.MS_NOEXEC, "mode=755")._replace(
        denied={"mount": errno.EACCES}
    )
    found = doctor(rootless, there)
    assert found["noexec"]["required"]
    assert "copies of images cannot be started there" in found["noexec"]["detail"]
    assert "ROOTLESS_ROOT" in found["noexec"]["fix"]
    assert (found["way"]["rung"], found["way"]["storage"]) == (3, "copies")
    archive = busybox_image.archive(tmp_path / "base.tar")
    (tmp_path / "Dockerfile").write_text("FROM busybox\nCOPY Dockerfile /\n")
    (tmp_path / "other").write_text("FROM busybox\nRUN true\n")
    script = f"""rootless load -q -i {archive} >/dev/null
rootless build -q {tmp_path} >/dev/null && echo made
rootless build -q -f {tmp_path}/other {tmp_path} || rootless run --rm busybox true
"""
    answer = _script(rootless, there, script)
    assert (answer.returncode, answer.stdout) == (125, "made\n"), answer.stderr
    assert answer.stderr.count("is mounted noexec: no program there can be started") == 2
    assert answer.stderr.count("ROOTLESS_ROOT") == 2
    assert answer.stderr.count("rootless doctor") == 2


def test_little_room(rootless):
    found = doctor(rootless, _on(rootless, "tmpfs", 0, "mode=755,size=10m"))
    assert "MiB are free" in found["room"]["detail"]
    assert found["room"]["required"] is False


def test_a_full_tmp(rootless, work, tmp_path):
    """Nothing of ours needs room there: what a build unpacks and packs lies in the store."""
    mounts = (
        (str(tmp_path), "/media", linux.MS_BIND, ""),
        (str(machine.PROJECT), "/mnt", linux.MS_BIND, ""),  # which may lie in /tmp, too
        ("tmpfs", "/tmp", 0, "mode=1777,size=4k"),
        ("tmpfs", "/var/tmp", 0, "mode=1777,size=4k"),
    )
    rootless.root = Path("/media/store")
    full = (
        "export PYTHONPATH=/mnt; cd /; unset TMPDIR; "
        "for i in /tmp /var/tmp; do head -c 4096 /dev/zero > $i/full; done"
    )
    more = """\
head -c 300000 /dev/urandom > /media/context/big
tar -C /media/context -cf /media/context/added.tar big f
printf 'ADD added.tar /added\nCOPY <<A /doc\nhere\nA\n' >> /media/context/Dockerfile
rootless build -q -t more --output type=oci,dest=/media/out.tar /media/context >/dev/null
rootless build -q -t more /media/context >/dev/null
rootless save more | rootless load -q >/dev/null
rootless run --rm --network none more cat /added/f /doc
packed='--log-opt max-size=20k --log-opt max-file=3 --log-opt compress=true'
lines='for i in $(seq 1000); do echo line $i; done'
rootless run --name packed --network none $packed more sh -c "$lines" >/dev/null
rootless logs --tail 700 packed | head -n 1
"""
    script = f"{full}\n{work}{more}".replace(str(tmp_path), "/media")
    answer = _script(rootless, Machine(mounts=mounts), script)
    assert (answer.returncode, answer.stdout) == (0, f"{MADE}copied\nhere\nline 301\n"), (
        answer.stderr
    )
    assert (tmp_path / "out.tar").stat().st_size > 300_000


def test_a_root_that_is_only_read(rootless, work, tmp_path):
    """All that is written to is the store; what is in the context is only read."""
    context, run = work.partition("rootless build")[::2]
    context = context.partition("\n")[2]
    (tmp_path / "prepare.sh").write_text(context)
    subprocess.run(["sh", "-e", tmp_path / "prepare.sh"], check=True)
    rootless.root.mkdir()
    disk = ("tmpfs", str(rootless.root), 0, "mode=755")
    read = ("none", "/", linux.MS_REMOUNT | linux.MS_BIND | linux.MS_RDONLY, "")
    there = Machine(mounts=(disk, read))
    assert doctor(rootless, there)["way"]["storage"] == "overlayfs"
    load = work.partition("\n")[0]
    script = f"! touch {tmp_path}/x\n{load}\nrootless build{run}"
    answer = _script(rootless, there, script)
    assert (answer.returncode, answer.stdout) == (0, MADE), answer.stderr


def test_no_device_for_networks(rootless, busybox_image, tmp_path):
    """Nor /dev/fuse, which nothing of ours needs."""
    there = Machine(mounts=(("tmpfs", "/dev/net", 0, "mode=755"),), hidden=("/dev/fuse",))
    found = doctor(rootless, there)
    assert "/dev/net/tun cannot be opened" in found["network"]["detail"]
    assert "sudo modprobe tun" in found["network"]["fix"]
    assert found["network"]["required"] is False
    rootless.load(busybox_image, tmp_path)
    answer = rootless("run", "--rm", "busybox", "echo", "here", cwd=machine.PROJECT)
    assert answer.stdout == "here\n"
    assert "the container shares the host's network" in answer.stderr
    answer = rootless("run", "--rm", "-p", "8080:80", "busybox", "true", cwd=machine.PROJECT)
    assert answer.stderr.endswith("shares the host's network, and ignores published ports\n")
    refused = rootless("run", "--rm", "--network", "pasta", "busybox", cwd=machine.PROJECT)
    assert refused.exit == 125
    assert "needs /dev/net/tun" in refused.stderr
    assert "rootless doctor" in refused.stderr


@pytest.mark.needs("proot", "busybox")
def test_no_word_of_networks_that_nothing_could_make(rootless, busybox_image, tmp_path):
    """Neither device nor namespaces: what would mend the network alone leads nowhere."""
    rootless.prefix = Machine(denied={"unshare": errno.EPERM}, hidden=("/dev/net/tun",)).prefix
    rootless.ok("load", "-i", busybox_image.archive(tmp_path / "base.tar"), cwd=machine.PROJECT)
    answer = rootless("run", "--rm", "busybox", "echo", "here", cwd=machine.PROJECT)
    assert answer.stdout == "here\n"
    assert "commands are run by proot" in answer.stderr
    assert "network" not in answer.stderr
    answer = rootless("run", "--rm", "-p", "8080:80", "busybox", "true", cwd=machine.PROJECT)
    assert answer.exit == 125
    assert "error: this needs a network of its own to publish ports from" in answer.stderr
    assert "note: " not in answer.stderr


def test_a_runtime_directory_of_another(rootless, work):
    """As `su` leaves it; there is one in the store."""
    for place in ("/run/user/0", "/nonexistent", "relative"):
        script = f"export XDG_RUNTIME_DIR={place}\n{work}rootless system prune -af >/dev/null\n"
        answer = _script(rootless, Machine(), script)
        assert (answer.returncode, answer.stdout) == (0, MADE), answer.stderr


def test_from_cron(rootless, work):
    """No terminal, no session, hardly a PATH, the locale C; and what hangs up is of no matter."""
    script = f"cd /\n{work}"
    ours = shlex.join([sys.executable, "-m", "rootless", "--root", str(rootless.root)])
    lines = f'set -e\nrootless() {{ {ours} "$@"; }}\n{script}'
    kept = {"PYTHONPATH": rootless.environment["PYTHONPATH"], "HOME": "/", "LC_ALL": "C"}
    command = ["setsid", "--wait", "nohup", *Machine().prefix, "sh", "-c", lines]
    answer = subprocess.run(
        command,
        env={**kept, "PATH": "/usr/bin:/bin"},
        cwd=machine.PROJECT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (answer.returncode, answer.stdout) == (0, MADE), answer.stderr


@pytest.mark.parametrize("umask", ["000", "077", "777"])
def test_the_callers_umask_is_not_the_images(rootless, work, umask):
    """Nor does one that takes one's own rights close the store to ourselves."""
    made = work.replace("printf", "umask 022\nprintf").replace(
        "rootless build", f"umask {umask}\nrootless build"
    )
    answer = _script(rootless, Machine(), f"umask {umask}\n{made}")
    assert (answer.returncode, answer.stdout) == (0, MADE), answer.stderr


CLOSED = ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"]


@pytest.mark.parametrize("closed", CLOSED)
def test_closed_streams(rootless, work, tmp_path, closed):
    """What is opened next gets their numbers: nothing of the store may be written to by mistake."""
    load, *_ = work.partition("rootless build")
    said = tmp_path / "said"
    said.mkdir(mode=0o777)
    verbs = (
        "build -q -t made {folder}",
        "run --rm --network none -v {said}:/said made sh -c 'echo 1; echo run > /said/a'",
        "run -d --name there --network none -v {said}:/said made sleep 1000",
        "exec there sh -c 'cat; echo 1; echo 2 >&2; echo exec > /said/b'",
        "cp there:/f {said}/f",
        "images",
        "doctor",
        "rm -f there",
    )
    folder = tmp_path / "context"
    lines = [f"rootless {one.format(folder=folder, said=said)} {closed}" for one in verbs]
    script = "\n".join([load, *lines, "rootless system check", "rootless run --rm made cat /y /f"])
    answer = _script(rootless, Machine(), script, stdin=subprocess.DEVNULL)
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.endswith("nothing in the store is damaged\nbuilt\ncopied\n")
    found = [(said / name).read_text() for name in ("a", "b", "f")]
    assert found == ["run\n", "exec\n", "copied\n"]


def _user(home: os.PathLike[str]) -> dict[str, str]:
    return {"/etc/passwd": f"{ROOT}ada:x:{os.getuid()}:{os.getgid()}::{home}:/bin/sh\n"}


BARE = "unset HOME XDG_DATA_HOME XDG_RUNTIME_DIR ROOTLESS_ROOT; PATH=/usr/bin:/bin"


def test_without_a_home(rootless, work, tmp_path):
    """A service, `env -i`: what passwd says is home."""
    home = tmp_path / "home"
    home.mkdir()
    ours = shlex.join([sys.executable, "-m", "rootless"])
    script = f'{BARE}\nrootless() {{ {ours} "$@"; }}\n{work}'
    answer = _script(rootless, Machine(files=_user(home)), script)
    assert (answer.returncode, answer.stdout) == (0, MADE), answer.stderr
    assert (home / ".local/share/rootless/index.json").exists()


def test_without_a_home_and_a_name(rootless):
    """doctor says it, and looks at all the rest."""
    there = Machine(files={"/etc/passwd": ROOT})
    answer = _script(rootless, there, f"{BARE}; {sys.executable} -m rootless doctor")
    assert "there is no place for images: HOME is not set, and this uid has no" in answer.stdout
    assert "ROOTLESS_ROOT" in answer.stdout
    assert "✓ user namespace" in answer.stdout
    assert answer.returncode == 1


@pytest.mark.parametrize("mode", [0o755, 0o700])
def test_the_home_of_another(rootless, mode):
    """As `su -m` leaves it."""
    disk = ("tmpfs", "/media", 0, f"uid=5,mode={mode:o}")
    there = Machine(mounts=(disk,), files=_user("/media"))
    command = f"HOME=/media {sys.executable} -m rootless"
    refused = _script(rootless, there, f"{BARE}; {command} import /dev/null x")
    assert refused.returncode == 1
    assert "/media is another's, and you are ada: set HOME, or choose" in refused.stderr
    assert "rootless doctor" in refused.stderr
    shown = _script(rootless, there, f"{BARE}; {command} doctor").stdout
    assert "fix: /media is another's, and you are ada: set HOME, or choose" in shown


def test_the_profile_names_this_python(rootless):
    profile = rootless.ok("doctor", "--apparmor")
    assert f"profile rootless {os.path.realpath(sys.executable)} flags=(unconfined) {{" in profile
    assert profile.count("userns,") == 1
