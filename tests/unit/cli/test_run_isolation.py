"""The flags of isolation as values, and docker's words for wrong ones."""

from __future__ import annotations

import json

import pytest

from rootless import leanjson, record_json, runspec
from rootless.cli import parser, run_isolation
from rootless.cli.run_isolation import Security, security
from rootless.cli.table.run import ISOLATION, RUN
from rootless.container.confinement import Confinement
from rootless.container.hostconfig import host_config
from rootless.container.spec import ContainerSpec
from rootless.errors import RootlessError, UsageError
from rootless.oci.digest import Digest
from rootless.sandbox import caps


def read(*words: str, network: str = "none") -> dict:
    """The fields of a spec that the flags make."""
    arguments = parser.parse(RUN, [*words, "image"])
    return run_isolation.fields(arguments, network)


def confined(*words: str, network: str = "none") -> Confinement:
    return read(*words, network=network)["confinement"]


def test_without_flags_all_is_as_usual():
    fields = read()
    assert fields == {
        "capabilities": caps.DEFAULT,
        "no_new_privileges": False,
        "seccomp": "",
        "confinement": Confinement(),
    }
    assert set(ISOLATION) <= {option.field for option in RUN.options}


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (["no-new-privileges"], Security(no_new_privileges=True)),
        (["no-new-privileges=true"], Security(no_new_privileges=True)),
        (["no-new-privileges:false"], Security()),
        (["seccomp=unconfined"], Security(seccomp="unconfined")),
        (["seccomp:unconfined"], Security(seccomp="unconfined")),
        (["seccomp=builtin"], Security()),
        (["label=disable", "apparmor=unconfined", "label:nested"], Security()),
        (["mask=/proc/a:/proc/b", "mask=/c"], Security(mask=("/proc/a", "/proc/b", "/c"))),
        (["unmask=ALL"], Security(unmask=("ALL",))),
        (["unmask=/proc/*"], Security(unmask=("/proc/*",))),
        (["systempaths=unconfined"], Security(unmask=("ALL",))),
        (["writable-cgroups=true"], Security(writable_cgroup=True)),
    ],
)
def test_security_options(texts, expected):
    assert security(texts) == expected


@pytest.mark.parametrize(
    "text",
    [
        "bla=1", "no-new-privileges:foo", "seccomp", "systempaths=foo", "mask=proc", "unmask=",
        "writable-cgroups", "", "=", "seccomp=/nonexistent", "seccomp=/etc", "seccomp=/dev/zero",
        "no-new-privilege",
    ],
)  # fmt: skip
def test_security_options_that_are_none(text):
    with pytest.raises(RootlessError):
        security([text])


def test_a_profile_is_read_and_checked(tmp_path):
    good = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": []}
    (tmp_path / "good.json").write_text(json.dumps(good))
    found = security([f"seccomp={tmp_path}/good.json"])
    assert json.loads(found.seccomp) == good
    (tmp_path / "bad.json").write_text(json.dumps({"defaultAction": "SCMP_ACT_NO"}))
    with pytest.raises(UsageError, match=r"seccomp profile .*bad.json: .*'SCMP_ACT_NO'"):
        security([f"seccomp={tmp_path}/bad.json"])


def test_what_others_must_give_is_said(capsys):
    assert security(["apparmor=mine", "label=type:x"]) == Security()
    said = capsys.readouterr().err
    assert "AppArmor profiles are the machine's root's to give: apparmor=mine is not used" in said
    assert "SELinux labels" in said


def test_masks():
    usual, all_ = Confinement(), Confinement(unmask=("ALL",))
    assert usual.hidden == runspec.MASKED
    assert usual.protected == runspec.READ_ONLY
    assert all_.hidden == all_.protected == Confinement(privileged=True).hidden == ()
    some = Confinement(unmask=("/proc/k*", "/proc/sys"), mask=("/proc/cpuinfo",))
    assert set(runspec.MASKED) - set(some.hidden) == {"/proc/kcore", "/proc/keys"}
    assert some.hidden[-1] == "/proc/cpuinfo"
    assert set(runspec.READ_ONLY) - set(some.protected) == {"/proc/sys"}


def test_privileged_has_all_but_what_is_asked_for():
    fields = read("--privileged", "--cap-drop", "CHOWN")
    assert fields["capabilities"] == caps.ALL
    assert fields["seccomp"] == "unconfined"
    assert not fields["no_new_privileges"]
    assert read("--privileged", "--security-opt", "no-new-privileges")["no_new_privileges"]


def test_values():
    found = confined(
        *("--shm-size", "2m", "--ulimit", "nofile=10:20", "--ulimit", "core=0"),
        *("--group-add", "44", "--group-add", "audio", "--umask", "0077"),
        *("--sysctl", "net.ipv4.ip_forward=1", "--sysctl", "kernel.sem=250 32000 100 128"),
        *("--pid=host", "--uts=host", "--cgroupns=host", "--ipc=shareable", "--no-hosts"),
        *("--oom-score-adj", "900", "--read-only", "--read-only-tmpfs", "--device", "/dev/null"),
    )
    assert found == Confinement(
        shm_size=2 << 20,
        limits=("nofile=10:20", "core=0:0"),
        groups=("44", "audio"),
        umask=0o077,
        sysctls=(("net.ipv4.ip_forward", "1"), ("kernel.sem", "250 32000 100 128")),
        pid="host",
        uts="host",
        cgroup="host",
        ipc="shareable",
        own_hosts=False,
        oom_score=900,
        memory=True,
        devices=("/dev/null",),
    )
    assert found.shared == {"pid", "uts", "cgroup"}


WRONG = [
    ("--pid=foo", "--pid: invalid PID mode"),
    ("--ipc=foo", "--ipc: invalid IPC mode: foo"),
    ("--uts=foo", "--uts: invalid UTS mode"),
    ("--uts=hosts", "--uts: invalid UTS mode"),
    ("--cgroupns=foo", "--cgroupns: invalid CGROUP mode"),
    ("--uts=host --hostname=x", "conflicting options: hostname and the UTS mode"),
    ("--shm-size=foo", 'invalid argument "foo" for "--shm-size" flag: invalid size: \'foo\''),
    ("--shm-size=-1", 'invalid argument "-1" for "--shm-size" flag'),
    ("--shm-size=", 'invalid argument "" for "--shm-size" flag'),
    ("--ulimit=foo=1", 'invalid argument "foo=1" for "--ulimit" flag: invalid ulimit type: foo'),
    ("--ulimit=nofile", 'for "--ulimit" flag: invalid ulimit argument: nofile'),
    ("--ulimit=nofile=a", "invalid ulimit argument"),
    ("--ulimit=nofile=2:1", "soft limit must be less than or equal to hard limit: 2 > 1"),
    ("--ulimit=nofile=-1:1", "soft limit must be less"),
    ("--oom-score-adj=2000", "Invalid value 2000, range for oom score adj is [-1000, 1000]"),
    ("--oom-score-adj=foo", 'invalid argument "foo" for "--oom-score-adj" flag'),
    ("--oom-score-adj=9999999999", "--oom-score-adj"),
    ("--sysctl=foo", "sysctl 'foo' is not allowed"),
    ("--sysctl=kernel.panic=1", "sysctl 'kernel.panic=1' is not allowed"),
    ("--sysctl=net/ipv4/ip_forward=1", "is not allowed"),
    ("--sysctl=net..ipv4=1", "is not allowed"),
    ("--sysctl=net.ipv4.ip\n=1", "is not allowed"),
    ("--sysctl=kernel.shmmax=1 --ipc=host", "is not allowed in the hosts ipc namespace"),
    ("--group-add=keep-groups --group-add=1", "not allowed with any other"),
    ("--umask=9", "invalid umask 9"),
    ("--umask=01000", "invalid umask 01000"),
    ("--umask=", "invalid umask"),
    ("--tz=Nowhere/At", "there is no time zone Nowhere/At"),
    ("--tz=../../../etc/passwd", "there is no time zone"),
    ("--tz=/etc/passwd", "there is no time zone"),
    ("--device=/dev/nosuch", "the device /dev/nosuch cannot be shown"),
    ("--device=/dev/null:x", "is not a device"),
    ("--device=/dev/null:/x:q", "is not a device"),
    ("--device=null", "is not a device"),
    ("--device-cgroup-rule=", "invalid device cgroup format ''"),
    ("--device-cgroup-rule=c 1:1", "invalid device cgroup format 'c 1:1'"),
    ("--device-cgroup-rule=d 1:1 r", "invalid device cgroup format 'd 1:1 r'"),
    ("--device-cgroup-rule=c 1:2:3 r", "invalid device cgroup format 'c 1:2:3 r'"),
    ("--device-cgroup-rule=c 1:1 rwmr", "invalid device cgroup format 'c 1:1 rwmr'"),
    ("--gpus=x", "invalid count (x): value must be either"),
    ("--gpus=cuont=1", "unexpected key 'cuont'"),
    ("--gpus=all", "no CDI file"),
    ("--no-hosts --add-host=a:1.2.3.4", "--no-hosts and --add-host cannot be set together"),
]


@pytest.mark.parametrize(("flags", "words"), WRONG, ids=lambda text: text)
def test_wrong_ones_are_named(flags, words):
    with pytest.raises(RootlessError) as error:
        read(*flags.split(" --") if " --" not in flags else _split(flags))
    assert words in error.value.message


def _split(flags: str) -> list[str]:
    first, *others = flags.split(" --")
    return [first, *(f"--{one}" for one in others)]


def test_the_hosts_network_cannot_be_set():
    with pytest.raises(UsageError, match="not allowed in host network namespace"):
        read("--sysctl=net.ipv4.ip_forward=1", network="host")
    assert confined("--sysctl=kernel.shmmax=1", network="host").sysctls


def test_what_cannot_be_lowered_is_said(capsys):
    assert confined("--oom-score-adj=-1000").oom_score >= -999
    assert "an ordinary user cannot go below" in capsys.readouterr().err


def test_device_rules_are_said_once_to_do_nothing(capsys):
    rules = ("c 189:* rmw", "a *:* m", "b 8:0 rr")
    assert confined(*(f"--device-cgroup-rule={one}" for one in rules)).devices == ()
    told = capsys.readouterr().err
    assert told.count("note: ") == told.count("\n") == 1
    assert "--device-cgroup-rule is not used" in told


def test_proxies():
    environment = {"HTTPS_PROXY": "a", "no_proxy": "b", "PROXY": "c", "http_proxy": ""}
    assert run_isolation.proxies(environment) == {"HTTPS_PROXY": "a", "no_proxy": "b"}


def spec(**changes) -> ContainerSpec:
    digest = Digest("sha256", "0" * 64)
    return ContainerSpec(id="a", name="", image="i", image_id=digest, created=0, **changes)


def test_it_is_kept_in_the_record_and_told_by_inspect():
    fields = read(
        *("--privileged", "--pid=host", "--shm-size=1m", "--ulimit=nofile=10:20"),
        *("--group-add=44", "--sysctl=net.ipv4.ip_forward=1", "--device=/dev/null:/dev/xn:r"),
        *("--oom-score-adj=700", "--cgroupns=host", "--uts=host", "--device=/dev/full"),
        *("--security-opt", "no-new-privileges"),
    )
    made = spec(**fields)
    stored = leanjson.loads(leanjson.dumps(record_json.encode(made)))
    assert record_json.decode(ContainerSpec, stored) == made
    told = host_config(made)
    assert {name: told[name] for name in ("PidMode", "IpcMode", "UTSMode", "CgroupnsMode")} == {
        "PidMode": "host", "IpcMode": "private", "UTSMode": "host", "CgroupnsMode": "host",
    }  # fmt: skip
    assert told["Privileged"] is True
    assert told["ShmSize"] == 1 << 20
    assert told["Ulimits"] == [{"Name": "nofile", "Hard": 20, "Soft": 10}]
    assert told["Sysctls"] == {"net.ipv4.ip_forward": "1"}
    assert told["GroupAdd"] == ["44"]
    assert told["OomScoreAdj"] == 700
    assert told["SecurityOpt"] == ["no-new-privileges", "label=disable"]
    assert told["Devices"] == [
        {"PathOnHost": "/dev/null", "PathInContainer": "/dev/xn", "CgroupPermissions": "r"},
        {"PathOnHost": "/dev/full", "PathInContainer": "/dev/full", "CgroupPermissions": "rwm"},
    ]
