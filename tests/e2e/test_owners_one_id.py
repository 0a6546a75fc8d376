"""Whose files are, by each command that makes, moves or shows them: with one id as with a range."""

from __future__ import annotations

import io
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Rootless
from tests.support import child, one_id

pytestmark = pytest.mark.needs("userns", "subids", "overlay", "busybox", "setpriv")
ALONE = ("--network", "none")
STAT = "stat -c '%n %u:%g %a'"
DOCKERFILE = """FROM busybox
RUN mkdir -p /data/d && echo x >/data/f && ln -s f /data/l && mkfifo /data/p \\
 && chown 5:6 /data && chown 7:8 /data/f /data/d && chown -h 9:10 /data/l && chown 11:12 /data/p \\
 && chmod 2770 /data/d && echo svc:x:33:44::/srv:/bin/sh >>/etc/passwd
"""
DATA = f"cd /data && {STAT} . d f l p"


class Stand:
    """One store on one rung, with the image `owned`, and a folder of its own for files."""

    def __init__(self, folder: Path, prefix: tuple[str, ...], archive: Path) -> None:
        folder.mkdir()
        self.folder = folder
        self.command = Rootless(folder / "store")
        self.command.prefix = prefix
        self.ok("load", "-i", archive)
        self.build(DOCKERFILE, "-t", "owned")

    def ok(self, *words: str | Path, **options) -> str:
        return self.command.ok(*words, **options)

    def build(self, dockerfile: str, *flags: str) -> str:
        (self.folder / "Dockerfile").write_text(dockerfile)
        return self.ok("build", "-q", *flags, self.folder)

    def run(self, *words: str, image: str = "owned", command: str = DATA) -> str:
        return self.ok("run", "--rm", *ALONE, *words, image, "sh", "-c", command)

    def live(self, *words: str) -> str:
        return self.ok("run", "-d", *ALONE, *words, "owned", "sleep", "100000").strip()

    def end(self) -> None:
        names = self.ok("ps", "-aq").split()
        if names:
            self.ok("rm", "-f", *names)
        child.remove_tree(self.folder / "store")


@pytest.fixture(scope="module")
def both(tmp_path_factory, busybox_image):
    folder = tmp_path_factory.mktemp("owners")
    archive = busybox_image.archive(folder / "base.tar")
    stands = [
        Stand(folder / name, prefix, archive)
        for name, prefix in (("many", ()), ("one", one_id.PREFIX))
    ]
    yield stands
    for stand in stands:
        stand.end()


def _listed(archive: bytes) -> str:
    with tarfile.open(fileobj=io.BytesIO(archive)) as found:
        members = sorted(found, key=lambda one: one.name)
        return "\n".join(f"{one.name} {one.uid}:{one.gid} {one.mode:o}" for one in members)


def _archive(*members: tuple[str, int, int]) -> bytes:
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w") as made:
        for name, uid, gid in members:
            one = tarfile.TarInfo(name)
            one.uid, one.gid, one.mode = uid, gid, 0o640
            if name.endswith("/"):
                one.type, one.mode = tarfile.DIRTYPE, 0o750
            made.addfile(one)
    return target.getvalue()


def _image(at: Stand) -> str:
    return at.run()


def _volume_filled(at: Stand) -> str:
    first = at.run("-v", "filled:/data")
    return first + at.run("-v", "filled:/other", command=DATA.replace("/data", "/other"))


def _volume_given(at: Stand) -> str:
    at.run("-v", "given:/data", "-u", "0", command="chown 21:22 /data && touch /data/new")
    return at.run("-v", "given:/data") + at.run("-v", "given:/data:U", "-u", "svc")


def _volume_out_and_in(at: Stand) -> str:
    path = at.folder / "volume.tar"
    at.run("-v", "out:/data", command="true")
    at.ok("volume", "export", "-o", path, "out")
    at.ok("volume", "create", "in")
    at.ok("volume", "import", "in", path)
    return _listed(path.read_bytes()) + at.run(
        "-v", "in:/data", command="cd /data && " + STAT + " *"
    )


def _volume_of_a_build(at: Stand) -> str:
    (at.folder / "file").write_text("x")
    at.build("FROM owned\nCOPY --chown=41:42 file /v/file\nVOLUME /v /data\n", "-t", "volumes")
    return at.run(image="volumes", command=f"{STAT} /v /v/file; {DATA}")


def _tmpfs(at: Stand) -> str:
    command = f"{STAT} /t; touch /t/x; {STAT} /t/x"
    return at.run("--tmpfs", "/t:uid=5,gid=6,mode=0750", command=command)


def _working_directory(at: Stand) -> str:
    at.build("FROM owned\nUSER svc\nWORKDIR /made/here\nRUN touch /tmp/x; id -u\n", "-t", "placed")
    said = at.run(image="placed", command=f"{STAT} /made /made/here .; id -u; id -g")
    return said + at.run("-u", "7:8", "-w", "/srv/new", command=f"{STAT} /srv /srv/new; id")


def _copied_in(at: Stand) -> str:
    folder = at.folder / "tree"
    (folder / "sub").mkdir(parents=True, exist_ok=True)
    (folder / "sub" / "file").write_text("x")
    box, user = at.live(), at.live("-u", "svc")
    at.ok("cp", folder, f"{box}:/in")
    at.ok("cp", "-a", folder, f"{user}:/kept")
    at.ok("cp", folder, f"{user}:/plain")
    at.ok("cp", "-", f"{box}:/data", stdin=_archive(("a/", 3, 4), ("a/b", 5, 6)).decode())
    look = f"{STAT} /in /in/sub /in/sub/file /data/a /data/a/b"
    said = at.ok("exec", box, "sh", "-c", look)
    look = f"{STAT} /kept /kept/sub /kept/sub/file /plain /plain/sub/file"
    return said + at.ok("exec", user, "sh", "-c", look)


def _copied_out(at: Stand) -> str:
    box = at.live()
    at.ok("exec", box, "sh", "-c", "rm /data/p; touch /data/own; chown 5:6 /data/own")
    command = at.command.command("cp", f"{box}:/data", "-")
    told = subprocess.run(command, env=at.command.environment, capture_output=True, check=True)
    at.ok("cp", f"{box}:/data", at.folder / "out")
    names = sorted(path.name for path in (at.folder / "out").iterdir())
    return _listed(told.stdout) + str(names)


CHANGED = (
    "chown 1 /data/f; chown 7:8 /data/d; chown -h 3 /data/l; mkdir /opt; chown 9 /opt; "
    "mkdir -p /mnt/in; chmod 700 /mnt/in; touch /new; chown 4:5 /new; chown 6 /etc/passwd; "
    "chown 2 /"
)


def _changed(at: Stand) -> str:
    name = at.live("-v", "some:/mounted/here")
    at.ok("exec", name, "sh", "-c", CHANGED + "; chown 8 /mounted")
    said = at.ok("diff", name)
    at.ok("commit", name, "changed")
    command = f"{DATA}; {STAT} / /opt /mnt /mnt/in /new /etc/passwd /mounted"
    said += at.run(image="changed", command=command)
    path = at.folder / "exported.tar"
    at.ok("export", "-o", path, name)
    at.ok("stop", "-t", "0", name)
    at.ok("start", name)
    said += at.ok("exec", name, "sh", "-c", f"{STAT} / /opt /new /etc/passwd; {DATA}")
    return said + _listed(path.read_bytes())


def _squashed(at: Stand) -> str:
    dockerfile = (
        "FROM owned\nRUN chown 1 /data /data/l && mkdir /n && chown 2:3 /n\nRUN chown 4 /\n"
    )
    at.build(dockerfile, "--squash", "-t", "squashed")
    return at.run(image="squashed", command=f"{DATA}; {STAT} / /n")


def _top(at: Stand) -> str:
    """The root directory itself."""
    dockerfile = f"FROM owned\nRUN chown 5:6 /\nRUN {STAT} / >/said; touch /x\nRUN chown 7 /x\n"
    at.build(dockerfile, "-t", "top")
    path = at.folder / "top.tar"
    at.build(dockerfile, "-o", f"type=tar,dest={path}")
    return at.run(image="top", command=f"cat /said; {STAT} / /x") + _listed(path.read_bytes())


def _mounted(at: Stand) -> str:
    (at.folder / "secret").write_text("x")
    dockerfile = (
        "FROM owned AS stage\nFROM owned\n"
        "RUN --mount=type=cache,target=/c,uid=5,gid=6,mode=0711 "
        "--mount=type=cache,target=/seeded,from=stage,source=/data,id=seeded "
        "--mount=type=bind,from=stage,source=/data,target=/b "
        "--mount=type=secret,id=s,target=/s,uid=7,gid=8 "
        f"(cd /b && {STAT} . d f l p; cd /seeded && {STAT} . d f l p; {STAT} /c /s) >/said\n"
    )
    at.build(dockerfile, "--secret", f"id=s,src={at.folder / 'secret'}", "-t", "mounted")
    return at.run(image="mounted", command="cat /said")


def _from_a_stage(at: Stand) -> str:
    """Also when nothing but an owner has changed: what was copied before is no hit."""
    said = ""
    for change in ("chown 1 /data/d", "chown 2 /data/d", "chown 3 /data/f", "chown -h 4 /data/l"):
        dockerfile = (
            f"FROM owned AS stage\nRUN rm /data/p && {change}\n"
            "FROM owned\nCOPY --from=stage /data /to\nCOPY --from=stage --chown=8:9 /data /given\n"
        )
        at.build(dockerfile, "-t", "copied")
        look = "stat -c '%n %u:%g' . d f l"
        said += at.run(image="copied", command=f"cd /to && {look}; cd /given && {look}")
    return said


def _compared(at: Stand) -> str:
    for owner in ("1", "2"):
        change = f"chown {owner} /data/d && chown -h {owner} /data/l"
        at.build(f"FROM owned\nRUN {change}\n", "-t", f"of:{owner}")
    return at.command("image", "compare", "of:1", "of:2").stdout


ROWS: list[Callable[[Stand], str]] = [
    *(_image, _volume_filled, _volume_given, _volume_out_and_in, _volume_of_a_build, _tmpfs),
    *(_working_directory, _copied_in, _copied_out, _changed, _squashed, _top, _mounted),
    *(_from_a_stage, _compared),
]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.__name__.strip("_"))
def test_with_one_id_it_is_as_with_a_range(both, row):
    many, one = (row(stand).splitlines() for stand in both)
    assert many
    assert one == many
