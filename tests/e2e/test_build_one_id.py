"""Builds where there is one id: what they make is what a range of ids makes, file by file."""

from __future__ import annotations

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


APT = """FROM debian:bookworm
ENV DEBIAN_FRONTEND=noninteractive
RUN apt-get update && apt-get install -y --no-install-recommends dbus cron man-db postfix
RUN rm -rf /var/lib/apt /var/cache/apt /var/log /var/cache/ldconfig /var/cache/debconf \\
 /etc/aliases.db /etc/ssl/private /etc/ssl/certs/ssl-cert-snakeoil.pem /var/cache/man \\
 /var/lib/dpkg/info /etc/machine-id /var/lib/dbus
"""


@pytest.mark.needs("debootstrap", "mirror", "network")
def test_packages_are_installed_as_they_are_by_many_ids(both, debian_image):
    many, one = both(debian_image, APT)
    assert not trees.difference(many, one)
    owners = {line.split()[2] for line in one.tree.values() if line[0] in "df"}
    assert len(owners) > 5
