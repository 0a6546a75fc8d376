"""`volume …`: docker's words and shapes, archives, and what is refused.

What docker 28 does was looked up for each.
"""

from __future__ import annotations

import io
import json
import os
import subprocess
import tarfile
import threading

import pytest

pytestmark = pytest.mark.needs("userns", "subids", "overlay")


def test_a_volume_is_made_listed_looked_at_and_removed(rootless):
    assert rootless.ok("volume", "create", "v1") == "v1\n"
    assert rootless.ok("volume", "create", "v1") == "v1\n"
    labels = ("--label", "a=b", "--label", "c")
    assert rootless.ok("volume", "create", *labels, "-d", "local", "v2") == "v2\n"
    anonymous = rootless.ok("volume", "create").strip()
    assert len(anonymous) == 64
    assert rootless.ok("volume", "ls") == (
        f"DRIVER    VOLUME NAME\nlocal     {anonymous}\nlocal     v1\nlocal     v2\n"
        if not anonymous.startswith("v")
        else ""
    )
    assert rootless.ok("volume", "ls", "-q", "-f", "label=a=b") == "v2\n"
    assert rootless.ok("volume", "ls", "-q", "-f", "name=v") == "v1\nv2\n"
    assert rootless.ok("volume", "ls", "-q", "-f", "dangling=false") == ""
    one = json.loads(rootless.ok("volume", "ls", "--format", "json", "-f", "label=a"))
    data = str(rootless.root / "volumes/v2/data")
    assert one == {
        **dict.fromkeys(("Availability", "Group", "Links", "Size", "Status"), "N/A"),
        **{"Driver": "local", "Labels": "a=b,c=", "Mountpoint": data},
        **{"Name": "v2", "Scope": "local"},
    }
    (found,) = json.loads(rootless.ok("volume", "inspect", "v2"))
    assert found.pop("CreatedAt").startswith("20")
    assert list(found.items()) == [
        ("Driver", "local"),
        ("Labels", {"a": "b", "c": ""}),
        ("Mountpoint", data),
        ("Name", "v2"),
        ("Options", None),
        ("Scope", "local"),
    ]
    form = "{{.Name}}:{{json .Labels}}"
    assert rootless.ok("volume", "inspect", "-f", form, "v1", "v2") == (
        'v1:null\nv2:{"a":"b","c":""}\n'
    )
    assert rootless.ok("volume", "rm", "v2", "v1") == "v2\nv1\n"
    assert rootless.ok("volume", "ls", "-q") == f"{anonymous}\n"
    assert os.listdir(rootless.root / "tmp") == []


def test_what_is_not_there_is_said_once_for_each(rootless):
    rootless.ok("volume", "create", "v1")
    removed = rootless("volume", "rm", "nope", "v1", "other")
    assert (removed.exit, removed.stdout) == (1, "v1\n")
    assert removed.stderr.splitlines()[:2] == [
        "error: get nope: no such volume",
        "get other: no such volume",
    ]
    assert rootless.ok("volume", "rm", "-f", "nope") == "nope\n"
    looked = rootless("volume", "inspect", "nope")
    assert (looked.exit, looked.stdout) == (1, "[]\n")
    assert "get nope: no such volume" in looked.stderr


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (("create", "a/b"), '"a/b" includes invalid characters for a local volume name'),
        (("create", "x"), "create x: volume name is too short"),
        (("create", "-d", "nfs", "v1"), 'plugin "nfs" not found'),
        (("create", "-o", "foo=bar", "v1"), 'create v1: invalid option: "foo"'),
        (("create", "-o", "type=tmpfs", "v1"), 'missing required option: "device"'),
        (("create", "-o", "type=nfs", "-o", "device=:/x", "v1"), "by an ordinary user"),
        (("create", "--name", "v1", "v2"), "conflicting options"),
        (("ls", "-f", "bogus=1"), "invalid filter 'bogus'"),
        (("ls", "-f", "dangling=maybe"), "invalid filter 'dangling=maybe'"),
        (("ls", "-f", "name=("), "invalid filter 'name'"),
        (("ls", "--format", "{{.Bogus}}"), "Bogus"),
        (("prune", "-f", "--filter", "until=1h"), "invalid filter 'until'"),
        (("rm",), "name volumes to remove"),
        (("inspect",), "name volumes to look at"),
        (("export", "nope"), "get nope: no such volume"),
        (("import", "nope", "/dev/null"), "get nope: no such volume"),
    ],
)
def test_what_is_wrong_is_named(rootless, argv, said):
    result = rootless("volume", *argv)
    assert result.exit != 0
    assert said in result.stderr
    assert "Traceback" not in result.stderr
    assert rootless.ok("volume", "ls", "-q") == ""


def test_prune_takes_anonymous_ones_and_with_all_the_named_ones(rootless):
    anonymous = rootless.ok("volume", "create").strip()
    for flags in ((), ("--label", "keep=1"), ("-o", "type=tmpfs", "-o", "device=tmpfs")):
        rootless.ok("volume", "create", *flags, f"v{len(flags)}")
    (rootless.root / "volumes/v0/data/file").write_bytes(bytes(1000))
    asked = rootless("volume", "prune", stdin="n\n")
    assert asked.stdout == (
        "WARNING! This will remove anonymous local volumes not used by at least one container.\n"
        "Are you sure you want to continue? [y/N] "
    )
    said = rootless.ok("volume", "prune", "-f")
    assert said == f"Deleted Volumes:\n{anonymous}\n\nTotal reclaimed space: 0B\n"
    said = rootless.ok("volume", "prune", "-af", "--filter", "label!=keep")
    assert said == "Deleted Volumes:\nv0\n\nTotal reclaimed space: 1kB\n"
    assert rootless.ok("volume", "ls", "-q") == "v2\nv4\n"  # one with options stays, as in docker


def test_exists(rootless):
    assert rootless("volume", "exists", "v1")[:2] == (1, "")
    rootless.ok("volume", "create", "v1")
    assert rootless("volume", "exists", "v1") == (0, "", "")
    assert rootless("volume", "exists", "../volumes/v1").exit == 1


@pytest.fixture
def archive(tmp_path):
    path = tmp_path / "in.tar"
    with tarfile.open(path, "w") as tar:
        for name, uid, mode in (("a", 0, 0o644), ("d/b", 5, 0o4750)):
            member = tarfile.TarInfo(name)
            member.size, member.uid, member.gid, member.mode = 3, uid, uid, mode
            tar.addfile(member, io.BytesIO(b"hi\n"))
        link = tarfile.TarInfo("d/l")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
    return path


def _members(data: bytes) -> dict[str, tuple[int, int, str]]:
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        return {one.name: (one.uid, one.mode, one.linkname) for one in tar}


def test_a_volume_goes_to_an_archive_and_comes_back(rootless, archive, tmp_path):
    rootless.ok("volume", "create", "v1")
    rootless.ok("volume", "create", "v2")
    rootless.ok("volume", "import", "v1", archive)
    rootless.ok("volume", "export", "-o", tmp_path / "out.tar", "v1")
    out = (tmp_path / "out.tar").read_bytes()
    assert _members(out) == {
        "a": (0, 0o644, ""),
        "d": (0, 0o755, ""),
        "d/b": (5, 0o4750, ""),
        "d/l": (0, 0o777, "/etc/passwd"),
    }
    packed = subprocess.run(["gzip", "-c"], input=out, capture_output=True, check=True).stdout
    (tmp_path / "out.tar.gz").write_bytes(packed)
    command = rootless.command("volume", "import", "v2", "-")
    with open(tmp_path / "out.tar.gz", "rb") as file:
        subprocess.run(command, stdin=file, env=rootless.environment, check=True)
    command = rootless.command("volume", "export", "v2")
    piped = subprocess.run(command, capture_output=True, env=rootless.environment, check=True)
    assert piped.stdout == out
    assert rootless.ok("volume", "rm", "v1", "v2") == "v1\nv2\n"  # whatever ids own the files
    assert os.listdir(rootless.root / "volumes") == []


@pytest.mark.parametrize("content", [b"", b"no archive at all", b"x" * 512])
def test_what_is_no_archive_is_said(rootless, tmp_path, content):
    rootless.ok("volume", "create", "v1")
    (tmp_path / "bad").write_bytes(content)
    result = rootless("volume", "import", "v1", tmp_path / "bad")
    assert "Traceback" not in result.stderr
    assert (result.exit == 0) == (content == b"")
    assert content == b"" or f"error: {tmp_path}/bad: " in result.stderr
    assert os.listdir(rootless.root / "volumes/v1/data") == []


def test_an_archive_cannot_write_outside_of_the_volume(rootless, tmp_path):
    victim = tmp_path / "victim"
    victim.mkdir()
    with tarfile.open(tmp_path / "evil.tar", "w") as tar:
        link = tarfile.TarInfo("l")
        link.type, link.linkname = tarfile.SYMTYPE, str(victim)
        tar.addfile(link)
        member = tarfile.TarInfo("l/f")
        tar.addfile(member)
    rootless.ok("volume", "create", "v1")
    rootless("volume", "import", "v1", tmp_path / "evil.tar")
    assert os.listdir(victim) == []


def test_many_at_once(rootless):
    """Made and removed by several: each command ends with a sentence, and nothing is left."""
    errors: list[str] = []

    def work(number: int) -> None:
        for verb in ("create", "rm", "create", "rm"):
            result = rootless("volume", verb, f"v{number % 2}")
            if result.exit and "no such volume" not in result.stderr:
                errors.append(result.stderr)

    workers = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for one in workers:
        one.start()
    for one in workers:
        one.join()
    assert errors == []
    rootless.ok("volume", "prune", "-af")
    assert os.listdir(rootless.root / "volumes") == []
    assert os.listdir(rootless.root / "tmp") == []


def test_a_damaged_volume_is_left_out_and_can_be_removed(rootless):
    rootless.ok("volume", "create", "good")
    rootless.ok("volume", "create", "bad")
    (rootless.root / "volumes/bad/volume.json").write_text("{")
    listed = rootless("volume", "ls", "-q")
    assert listed.stdout == "good\n"
    assert "volume bad is damaged" in listed.stderr
    assert "is damaged" in rootless("volume", "rm", "bad").stderr
    assert rootless.ok("volume", "rm", "-f", "bad") == "bad\n"
    assert os.listdir(rootless.root / "volumes") == ["good"]


def test_a_check_names_a_damaged_volume_and_leaves_it(rootless):
    rootless.ok("volume", "create", "bad")
    (rootless.root / "volumes/bad/data/file").write_text("precious")
    (rootless.root / "volumes/bad/volume.json").write_text("{")
    for flags in ((), ("--repair",)):
        checked = rootless("system", "check", *flags)
        assert checked.exit == 1
        assert "volume bad is damaged" in checked.stdout + checked.stderr
    assert (rootless.root / "volumes/bad/data/file").read_text() == "precious"
