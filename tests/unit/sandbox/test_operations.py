"""What operations say: the option lines for the kernel and the lines for a shell."""

from __future__ import annotations

import shlex
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rootless.sandbox import joining
from rootless.sandbox import privileges as priv
from rootless.sandbox.operations import devices, scratch, stacked, tree, views
from rootless.sandbox.quoting import quote

NASTY = "/a b/$(id)/`id`/'q'/\"d\"/é,x:y\\z;&|>*?[~#\n-"

SPEAKING = [
    tree.Overlay(NASTY, ("a", NASTY), NASTY, NASTY, NASTY),
    views.Proc(),
    tree.Tmpfs(NASTY, f"size={NASTY}"),
    devices.Devices(),
    views.Sysfs(own_network=True),
    views.Sysfs(own_network=False),
    views.Cgroup(),
    views.Cgroup(own=False, writable=True),
    views.Proc(own=False),
    views.Sysfs(own_network=False, writable=True),
    views.Sysctls(((f"net.{NASTY}", NASTY),)),
    devices.Devices(own_ipc=False),
    devices.Devices(0),
    tree.Bind(NASTY, NASTY, read_only=True),
    tree.Bind(NASTY, NASTY, propagation="rslave", attributes=8, subpath=NASTY, owner=NASTY),
    scratch.Scratch(NASTY, NASTY, NASTY),
    stacked.Stacked(NASTY, (NASTY, NASTY), NASTY, NASTY),
    stacked.Stacked(NASTY, (), NASTY, NASTY, read_only=False, subpath=NASTY),
    tree.Files(NASTY, ((NASTY, NASTY), ("/etc/x", NASTY))),
    views.Mask((NASTY, "/proc/kcore")),
    tree.Protect((NASTY, "/")),
    tree.PivotRoot(),
    priv.Hostname(NASTY),
    priv.Loopback(),
    priv.Await(3, "pasta"),
    priv.Terminal(3),
    priv.Terminal(3, console=False),
    priv.WorkingDirectory(NASTY),
    priv.ChangeDirectory(NASTY),
    joining.Enter(3, 4, ("mount", "pid")),
    priv.Bound(("KILL",)),
    priv.NoNewPrivileges(),
    priv.Seccomp(bytes(16)),
    priv.Become("1:1", ()),
    priv.Become("1:1", (), (NASTY, "7")),
    priv.Become("app", (), priv.KEEP_GROUPS),
    priv.OomScore(-5),
    priv.Execute(("sh", "-c", NASTY), {"A": NASTY}, NASTY, "1:2", ("KILL",)),
]


def name(operation) -> str:
    return type(operation).__name__


@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])))
def test_a_quoted_word_is_read_back(word):
    quoted = quote(word)
    if word.isprintable():
        assert shlex.split(quoted) == [word]
    else:
        spelt = quoted.removeprefix("$'").removesuffix("'")
        assert spelt.isprintable()
        assert "'" not in spelt
        octal = spelt.encode("utf-8").decode("latin-1")
        assert octal.encode("latin-1").decode("unicode_escape").encode("latin-1") == word.encode()


@pytest.mark.parametrize("word", ["", " ", "a'b", NASTY, "--", "$HOME", "!!", "a\nb", "\\"])
def test_a_real_shell_reads_it_back(word):
    argv = ["bash", "-c", f"printf %s {quote(word)}"]
    assert subprocess.run(argv, capture_output=True, check=True).stdout.decode() == word


@pytest.mark.parametrize("shell", ["sh", "bash"])
def test_no_shell_runs_what_is_in_an_unprintable_word(shell, tmp_path):
    """Also one that does not know $'...', which the script is not for."""
    word = quote(f"\n'; touch {tmp_path}/ran; #")
    subprocess.run([shell, "-c", f"true {word}"], check=False, capture_output=True)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("operation", SPEAKING, ids=name)
def test_everybody_speaks(operation):
    assert operation.describe()
    assert "(2)" in operation.call
    script = "\n".join(operation.shell())
    subprocess.run(["bash", "-n"], input=script.encode(), check=True)


@pytest.mark.parametrize("operation", SPEAKING, ids=name)
def test_no_word_of_a_user_is_executed(operation, tmp_path):
    """Every tool of the lines is a harmless function; a `$(…)` that ran would leave its trace."""
    trap = f"/x$(touch {tmp_path}/ran)`touch {tmp_path}/ran`;touch {tmp_path}/ran;'\n"
    tools = "mkdir mount cd touch ln printf hostname ip exec unshare setpriv env dirname"
    script = "".join(f"{tool}() {{ :; }}\n" for tool in tools.split() if tool != "exec")
    lines = [line.removeprefix("exec ") for line in operation.shell()]
    script += "\n".join(lines).replace(quote(NASTY.lstrip("/")), quote(trap))
    script = script.replace(quote(NASTY), quote(trap)).replace("touch() { :; }", "")
    subprocess.run(["bash"], input=script.encode(), cwd=tmp_path, capture_output=True, check=False)
    assert not (tmp_path / "ran").exists()


def test_overlay_options_escape_what_overlayfs_splits_at():
    overlay = tree.Overlay("/", ("a:b", "c,d", "e\\f"), "/u,p:p", "/w", "/t", volatile=True)
    assert overlay.options == (
        r"lowerdir=a\:b:c\,d:e\\f,upperdir=/u\,p\:p,workdir=/w,userxattr,volatile"
    )
    assert "volatile" not in overlay.replace(volatile=False).options


def test_a_placed_file_is_printed_byte_by_byte(tmp_path):
    content = "127.0.0.1\tlocalhost\n100% \\n 'x' $HOME\n\n"
    lines = tree.Files(str(tmp_path / "o k"), (("/etc/hosts", content),)).shell()
    script = ["mount() { :; }", *lines]
    subprocess.run(["sh", "-c", "\n".join(script)], check=True, cwd=tmp_path)
    assert (tmp_path / "o k" / "hosts").read_text() == content


def test_execute_prints_what_sets_everything():
    lines = priv.Execute(
        ("sh", "-c", "echo $A"), {"A": "b c"}, "/w d", "7:8", ("KILL", "CHOWN"),
        no_new_privileges=True,
    ).shell()  # fmt: skip
    assert lines[:2] == ('e=(HOME="$h")', "e+=('A=b c')")
    assert lines[2].startswith("exec ")
    assert "    prctl(38, 1, 0, 0, 0)" in lines
    assert lines[-3] == f"become(*sys.argv[1:])' {1 << 5 | 1} '/w d' \\"
    assert lines[-2] == '"$u" "$g" "$s" "${#e[@]}" "${e[@]}" \\'
    assert lines[-1] == "sh -c 'echo $A'"
    code = "\n".join(lines[3:-2]).partition("'")[0]
    compile(code, "the last lines", "exec")


def test_an_images_passwd_adds_no_words_to_the_last_line(tmp_path):
    """They would be options of a tool that runs before the root is changed."""
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/group").write_text("")
    (tmp_path / "etc/passwd").write_text(
        "app:x:33 --root=/:34::/a:\napp:x:33:34 --wd=/tmp::/a:\napp:x:33:34::/a b --x:\n"
    )
    become = priv.Become("app", ()).shell()
    lines = [
        'text() { cat "etc/$1"; }',  # as if the root had been changed
        *become[next(n for n, line in enumerate(become) if line.startswith("ids() ")) :],
        *priv.Execute(("id",), {}).shell(),
    ]
    begin, end = next(n for n, line in enumerate(lines) if line.startswith("exec ")), -2
    script = "\n".join((*lines[:begin], "printf '%s\\n' \\", *lines[end:]))
    shown = subprocess.run(
        ["bash", "-c", script], cwd=tmp_path, capture_output=True, check=True, text=True
    ).stdout.splitlines()
    assert shown == ["33", "34", "34", "1", "HOME=/a b --x", "id"]
