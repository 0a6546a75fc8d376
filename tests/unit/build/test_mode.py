"""--chmod, compared with chmod(1) but for where docker differs from that."""

import os
import stat
import subprocess

import pytest

from rootless.build.plan.mode import Mode
from rootless.errors import RootlessError

SYMBOLIC = [
    "u=rwX,go=rX", "a+x", "+x", "go-w", "u+s", "g=u"[:2], "o=", "u=rw,g=r,o=", "a=rX", "ug+w,o-rwx",
    "g+s", "+t", "u-s", "a-r", "u+x-w", "uu=r", "a=X",
]  # fmt: skip


COPIES = ["go=u", "o=g", "g+u,o-g", "g=u-w", "u=,u+r,g=u"]


@pytest.mark.parametrize("text", [*SYMBOLIC, *COPIES])
@pytest.mark.parametrize("before", [0o644, 0o755, 0o4755, 0o600, 0o2711])
@pytest.mark.parametrize("kind", ["file", "directory"])
def test_symbolic_modes_are_chmods(tmp_path, text, before, kind):
    path = tmp_path / "x"
    path.mkdir() if kind == "directory" else path.touch()
    path.chmod(before)
    mode = os.stat(path).st_mode
    if mode & 0o7000 and (text in COPIES or (kind == "directory" and "=" in text)):
        pytest.skip("set-id bits: chmod keeps a directory's, and takes a copy's away")
    subprocess.run(["chmod", text, path], check=True, preexec_fn=lambda: os.umask(0))
    assert oct(Mode.parse(text).apply(mode)) == oct(stat.S_IMODE(os.stat(path).st_mode))


def test_a_directory_s_set_id_bits_are_those_that_are_asked_for():
    assert Mode.parse("u=rwX,go=rX").apply(stat.S_IFDIR | 0o2711) == 0o755
    assert Mode.parse("go=u").apply(stat.S_IFDIR | 0o2711) == 0o2777


@pytest.mark.parametrize(("text", "bits"), [("755", 0o755), ("0644", 0o644), ("7777", 0o7777)])
def test_octal(text, bits):
    assert Mode.parse(text).apply(0o100600) == bits


@pytest.mark.parametrize(
    "text", ["", "9", "10000", "u", "u=q", "x+r", "rwx", "u+r,", "u=6", "u=r,,g=r"]
)
def test_what_is_not_a_mode(text):
    with pytest.raises(RootlessError, match="not a file mode"):
        Mode.parse(text)
