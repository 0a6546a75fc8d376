"""The rungs of the privilege ladder, as prefixes of a command: what stands on which one.

range  a user namespace with a range of ids
one    a user namespace with the user's own id only
root   root in a container that docker started with its defaults, which may mount nothing
none   an ordinary user there, without any capability and without any to gain
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.conftest import Rootless
from tests.support import child, images, one_id, plain
from tests.support.terminal import Terminal

ROOT = plain.prefix()
NONE = plain.prefix("none")
ALL: dict[str, tuple[str, ...]] = {"range": (), "one": one_id.PREFIX, "root": ROOT}
"""Where commands are run."""


@contextmanager
def beside(
    folder: Path, image: images.BaseImage, name: str, prefix: tuple[str, ...]
) -> Iterator[list[Rootless]]:
    """The same image in two stores: one of a range of ids, and one of the rung called `name`."""
    made = []
    for rung, before in (("range", ()), (name, prefix)):
        made.append(Rootless(folder / rung))
        made[-1].prefix = before
        made[-1].ok("load", "-i", image.archive(folder / f"{rung}.tar"))
    yield made
    for one in made:
        child.remove_tree(one.root)


def check_memory(rootless: Rootless) -> None:
    """Where nothing can be mounted: whose a tmpfs is, its mode, and a word of what it is not."""
    flags = ("--tmpfs", "/x:uid=5,gid=6,mode=710,size=4k,ro", "--tmpfs", "/y")
    answer = rootless("run", "--rm", *flags, "busybox", "stat", "-c", "%a %u:%g", "/x", "/y")
    assert (answer.exit, answer.stdout) == (0, "710 5:6\n1777 0:0\n"), answer.stderr
    lost = (
        "WARNING: a tmpfs is a directory on disk here, and cannot be given: size=4k of /x, ro of /x"
    )
    assert answer.stderr.count(lost) == 1
    answer = rootless("run", "--rm", "--tmpfs", "/x:mode=710", "busybox", "true")
    assert "tmpfs" not in answer.stderr


def check_image_mount(rootless: Rootless, folder: Path) -> None:
    """Where nothing can be mounted an image's files are copied, and the copy is thrown away."""
    folder.mkdir()
    (folder / "f").write_text("an image's\n")
    (folder / "links").mkdir()
    (folder / "links/out").symlink_to("/etc/passwd")
    (folder / "Dockerfile").write_text(
        "FROM scratch\nCOPY --chown=7:8 --chmod=0400 f /d/f\nCOPY --chown=3:4 links /d\n"
    )
    rootless.ok("build", "-t", "files", folder)
    whole, part = ("--mount", "type=image,src=files,dst=/x"), "type=image,src=files,image-subpath="
    script = "stat -c '%a %u:%g' /x/d/f; stat -c %u:%g /x/d/out; cat /x/d/f /y; echo >> /x/d/f"
    flags = ("--name", "one", *whole, "--mount", f"{part}d/f,dst=/y")
    answer = rootless("run", *flags, "busybox", "sh", "-c", f"{script}; echo > /x/new")
    assert answer.exit == 0, answer.stderr
    mode, *rest = answer.stdout.splitlines()
    assert mode in ("400 7:8", "600 7:8"), answer  # the latter where we would be locked out
    assert rest == ["3:4", "an image's", "an image's"], answer
    changed = rootless.ok("diff", "one")
    assert "/x/" not in changed, changed
    assert rootless.ok("run", "--rm", *whole, "busybox", "cat", "/x/d/f") == "an image's\n"
    for wrong in ("nothing", "d/out"):
        mount = ("--mount", f"{part}{wrong},dst=/y")
        answer = rootless("run", "--rm", *mount, "busybox", "true")
        assert answer.exit == 125
        assert f"error: {wrong} of the image files cannot be shown at /y" in answer.stderr
    rootless.ok("rm", "one")


def check_terminal(rootless: Rootless) -> None:
    """Where nothing can be mounted `run` and `exec` have terminals of this machine's /dev/pts."""
    script = "test -t 0 && echo it is $(echo one); read a; echo got $a"
    rootless.ok("run", "-d", "--name", "still", "busybox", "sleep", "1000")
    try:
        for words in (("run", "-it", "--name", "one", "busybox"), ("exec", "-it", "still")):
            screen = Terminal(rootless.command(*words, "sh", "-c", script), rootless.environment)
            screen.expect("it is one")
            screen.type("typed\n")
            screen.expect("got typed")
            assert screen.close() == 0
    finally:
        rootless("rm", "-f", "still", "one")
