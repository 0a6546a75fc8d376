"""--chmod, compared with chmod(1)."""

import os
import stat
import subprocess

import pytest

from rootless.build.plan.mode import Mode
from rootless.errors import RootlessError

SYMBOLIC = [
    "u=rwX,go=rX", "a+x", "+x", "go-w", "u+s", "g=u"[:2], "o=", "u=rw,g=r,o=", "a=rX", "ug+w,o-rwx",
    "g+s", "+t", "u-s", "a-r",
]  # fmt: skip


@pytest.mark.parametrize("text", SYMBOLIC)
@pytest.mark.parametrize("before", [0o644, 0o755, 0o4755, 0o600, 0o2711])
@pytest.mark.parametrize("kind", ["file", "directory"])
def test_symbolic_modes_are_chmods(tmp_path, text, before, kind):
    path = tmp_path / "x"
    path.mkdir() if kind == "directory" else path.touch()
    path.chmod(before)
    mode = os.stat(path).st_mode
    subprocess.run(["chmod", text, path], check=True, preexec_fn=lambda: os.umask(0))
    assert oct(Mode.parse(text).apply(mode)) == oct(stat.S_IMODE(os.stat(path).st_mode))


@pytest.mark.parametrize(("text", "bits"), [("755", 0o755), ("0644", 0o644), ("7777", 0o7777)])
def test_octal(text, bits):
    assert Mode.parse(text).apply(0o100600) == bits


@pytest.mark.parametrize("text", ["", "9", "10000", "u", "u=q", "x+r", "rwx", "u+r,"])
def test_what_is_not_a_mode(text):
    with pytest.raises(RootlessError, match="not a file mode"):
        Mode.parse(text)
