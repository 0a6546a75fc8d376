"""Builds where there is one id: what they make is what a range of ids makes, file by file."""

from __future__ import annotations

import json
import tarfile

import pytest

from tests.support import images, one_id, trees

pytestmark = [
    pytest.mark.needs("userns", "subids", "overlay", "setpriv"),
]


@pytest.fixture
def both(rootless, tmp_path):
    """Build with a range of ids and with one, and give back both images, as they are saved.

    Each in a store of its own: what belongs to other ids is closed to one.
    """

    def build(base: images.BaseImage, dockerfile: str) -> list[trees.Image]:
        found: list[trees.Image] = []
        archive = base.archive(tmp_path / "base.tar")
        for name, prefix in (("many", ()), ("one", one_id.PREFIX)):
            rootless.root, rootless.prefix = tmp_path / name, prefix
            rootless.ok("load", "-i", archive)
            built = rootless("build", "--progress=plain", "-t", "made", "-", stdin=dockerfile)
            assert built.exit == 0, built.stderr[-3000:]
            rootless.ok("save", "-o", tmp_path / f"{name}.tar", "made")
            found.append(trees.Reader().read(tmp_path / f"{name}.tar"))
        return found

    return build


GIVEN = """FROM busybox
RUN mkdir /w && cd /w && touch file && mkdir folder && ln -s file link && mkfifo pipe \\
 && ln file second && chown 33:44 file folder && chown -h 5:6 link && chown 7:8 pipe \\
 && chmod 2755 folder && cp -a folder copied && tar -cf /t.tar . && mkdir out \\
 && tar -xf /t.tar -C out && rm /t.tar
RUN chown 0:0 /w/file && chown -h 0 /w/link && mv /w/folder /w/moved && chown -R 9:9 /w/out
RUN test "$(stat -c %u:%g /w/copied)" = 33:44 && test "$(stat -c %g /w/link)" = 6
"""


@pytest.mark.needs("busybox")
def test_what_is_given_away_is_recorded(both, busybox_image):
    many, one = both(busybox_image, GIVEN)
    assert not trees.difference(many, one)
    assert one.tree["/w/moved"] == "d 2755 33:44"
    assert one.tree["/w/pipe"] == "p 644 7:8"


DEBIAN = """FROM debian:bookworm
RUN useradd -m one && groupadd -r two && chown one /home/one \\
 && echo x > /f && install -o one -g two -m 4750 /f /suid && cp -p /suid /kept \\
 && sed -i s/x/y/ /kept
RUN su one -c 'id; echo $HOME' > /told \\
 && setpriv --reuid=one --regid=two --groups=7,8 sh -c '(id -u; id -g; id -G) & wait' >> /told \\
 && perl -e '$) = "5 6 7"; $> = 33; print "$> $< $)\\n"; $> = 0; exec "id"' >> /told \\
 && perl -e '$) = $( = 6; $< = $> = 5; $> = 0; print "no $> $<\\n"' >> /told; cat /told
"""


@pytest.mark.needs("debootstrap", "mirror")
def test_users_are_added_and_become_others(both, debian_image):
    many, one = both(debian_image, DEBIAN)
    assert not trees.difference(many, one)
    assert one.tree["/etc/shadow"].startswith("f 640 0:42 ")
    assert one.tree["/kept"].startswith("f 750 1000:")


OTHERS = """FROM debian:bookworm
RUN useradd -m one && install -d -o one -g games -m 2775 /shared && mkdir -m 777 /open
RUN su one -c 'umask 027; cd /open && echo x > file && echo y >> file && mkdir folder \\
 && ln -s file link && mkfifo pipe && touch /shared/theirs && mkdir /shared/d && cp file copy \\
 && perl -e "use Fcntl; sysopen(F, qq(new), O_CREAT|O_EXCL|O_RDWR, 0666) or die; print F 1" \\
 && ! perl -e "use Fcntl; sysopen(F, qq(new), O_CREAT|O_EXCL|O_RDWR) or exit 1" && mkdir other/'
USER one:games
WORKDIR /home/one/work
RUN id && echo mine > mine && test -O mine && test "$(stat -c %U:%G mine /etc/passwd | xargs)" \\
 = "one:games root:root" && ! chown root mine && chgrp games mine && ! chgrp root mine
"""


@pytest.mark.needs("debootstrap", "mirror")
def test_what_another_user_makes_is_theirs(both, debian_image):
    many, one = both(debian_image, OTHERS)
    assert not trees.difference(many, one)
    assert one.tree["/home/one/work/mine"].startswith("f 644 1000:60 ")
    assert one.tree["/open/new"].startswith("f 640 1000:1000 1 ")
    assert one.tree["/shared/d"] == "d 2750 1000:60"


COPIED = """FROM busybox AS first
RUN mkdir -p /d/in && cd /d && touch plain theirs && ln -s plain link && chown 3:4 theirs in \\
 && chown -h 5:6 /d/link && chmod 4755 /d/theirs && ln /d/theirs /d/again
FROM busybox
COPY --from=first /d /kept/
COPY --from=first --chown=7:8 /d /given/
COPY --chown=9 <<end /written/down
text
end
USER 10:11
WORKDIR /work/here
RUN --mount=type=cache,target=/c,uid=10,gid=11,mode=700 stat -c %u:%g /c > /work/here/cache
RUN stat -c '%u:%g %a' /kept/theirs /given/in /written /work > /tmp/seen
"""


@pytest.mark.needs("busybox")
def test_what_is_copied_keeps_its_owner_or_is_given_away(both, busybox_image):
    many, one = both(busybox_image, COPIED)
    assert not trees.difference(many, one)
    assert one.tree["/given/again"].startswith("f 4755 7:8 ")
    assert one.tree["/kept/in"] == "d 755 3:4"
    assert one.tree["/work/here"] == "d 755 10:11"


@pytest.mark.needs("busybox")
def test_devices_are_made_for_the_layer(rootless, busybox_image, tmp_path):
    rootless.prefix = one_id.PREFIX
    rootless.ok("load", "-i", busybox_image.archive(tmp_path / "base.tar"))
    lines = (
        "FROM busybox",
        "RUN mknod -m 622 /console c 5 1 && mknod /disk b 259 1048575 && chown 7:8 /disk",
        "RUN ! mknod /console c 5 1 && mv /disk /moved",
        "USER 9",
        "RUN ! mknod /tmp/x c 5 1 && test ! -e /tmp/x",
    )
    rootless.ok("build", "-t", "made", "-", stdin="\n".join(lines))
    rootless.ok("save", "-o", tmp_path / "made.tar", "made")
    found = {}
    with tarfile.open(tmp_path / "made.tar") as outer:
        for name in json.load(outer.extractfile("manifest.json"))[0]["Layers"]:
            with tarfile.open(fileobj=outer.extractfile(name)) as layer:
                found |= {one.name: one for one in layer}
    kinds = [
        (one.type, oct(one.mode), one.uid, one.gid, one.devmajor, one.devminor)
        for one in (found["console"], found["moved"])
    ]
    assert kinds == [
        (tarfile.CHRTYPE, "0o622", 0, 0, 5, 1),
        (tarfile.BLKTYPE, "0o644", 7, 8, 259, 1048575),
    ]


APT = """FROM debian:bookworm
ENV DEBIAN_FRONTEND=noninteractive
RUN apt-get update && apt-get install -y --no-install-recommends dbus cron man-db postfix
RUN rm -rf /var/lib/apt /var/cache/apt /var/log /var/cache/ldconfig /var/cache/debconf \\
 /etc/aliases.db /etc/ssl/private /etc/ssl/certs/ssl-cert-snakeoil.pem \\
 /var/lib/dpkg/info /etc/machine-id /var/lib/dbus
"""


@pytest.mark.needs("debootstrap", "mirror", "network")
def test_packages_are_installed_as_they_are_by_many_ids(both, debian_image):
    many, one = both(debian_image, APT)
    assert not trees.difference(many, one)
    owners = {line.split()[2] for line in one.tree.values() if line[0] in "df"}
    assert len(owners) > 5
