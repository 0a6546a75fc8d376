"""`-v`, `--mount`, `--tmpfs` and `--volumes-from`: what they mean, and docker 28's complaints."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rootless.cli import run_mounts
from rootless.cli.parser import Arguments
from rootless.container.spec import Mount
from rootless.errors import RootlessError, UsageError

HERE = os.getcwd()


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("/x", Mount("volume", "/x")),
        ("/x//y/", Mount("volume", "/x/y")),
        ("db:/x", Mount("volume", "/x", name="db")),
        ("db:/x:ro", Mount("volume", "/x", name="db", read_only=True)),
        ("db:/x:nocopy,ro", Mount("volume", "/x", "", "db", True, ("nocopy",))),
        ("db:/x:U", Mount("volume", "/x", "", "db", False, ("U",))),
        ("/tmp:/x", Mount("bind", "/x", "/tmp", options=("create",))),
        ("/tmp/../etc:/x/../y", Mount("bind", "/y", "/etc", options=("create",))),
        ("./d:/x", Mount("bind", "/x", f"{HERE}/d", options=("create",))),
        (".:/x", Mount("bind", "/x", HERE, options=("create",))),
        ("~/d:/x", Mount("bind", "/x", os.path.expanduser("~/d"), options=("create",))),
        (
            "/tmp:/x:ro,z,rslave",
            Mount("bind", "/x", "/tmp", "", True, ("z", "rslave", "create")),
        ),
        ("/tmp:/x:O", Mount("bind", "/x", "/tmp", options=("O", "create"))),
        ("/tmp:/x:cached", Mount("bind", "/x", "/tmp", options=("create",))),
        (
            "/tmp:/x:noexec,nosuid",
            Mount("bind", "/x", "/tmp", "", False, ("noexec", "nosuid", "create")),
        ),
    ],
)
def test_a_volume(text, meant):
    assert run_mounts.volume(text) == meant.replace(flag="-v" if ":" in text else "")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "invalid empty volume spec"),
        (":/x", "invalid spec: :/x: empty section between colons"),
        ("/x:", "invalid spec: /x:: empty section between colons"),
        ("/tmp:/x:", "invalid spec: /tmp:/x:: empty section between colons"),
        ("a::", "invalid spec: a::: empty section between colons"),
        ("/a:/b:/c", "invalid mode: /c"),
        ("/tmp:/x:foo", "invalid mode: foo"),
        ("/tmp:/x:RO", "invalid mode: RO"),
        ("/tmp:/x:ro,", "invalid mode: ro,"),
        ("/tmp:/x:ro,rw", "invalid mode: ro,rw"),
        ("/tmp:/x:z,Z", "invalid mode: z,Z"),
        ("/tmp:/x:rslave,rshared", "invalid mode: rslave,rshared"),
        ("db:/x:nocopy,nocopy", "invalid mode: nocopy,nocopy"),
        ("db:/x:ro:rw", "invalid volume specification: 'db:/x:ro:rw'"),
        ("/tmp:ro", "invalid volume specification: '/tmp:ro'"),
        (
            "db:/x:rslave",
            "invalid volume specification: 'db:/x:rslave': invalid mount config for type "
            '"volume": field BindOptions must not be specified',
        ),
        (
            "/tmp:/x:nocopy",
            "invalid volume specification: '/tmp:/x:nocopy': invalid mount config for type "
            '"bind": field VolumeOptions must not be specified',
        ),
        (
            "/tmp:/",
            "invalid volume specification: '/tmp:/': invalid mount config for type \"bind\": "
            "invalid specification: destination can't be '/'",
        ),
        ("/tmp://", "destination can't be '/'"),
        ("/tmp:/x/..", "destination can't be '/'"),
        ("/", "destination can't be '/'"),
        ("/tmp:x", "invalid mount path: 'x' mount path must be absolute"),
        ("vol:x", "invalid mount path: 'x' mount path must be absolute"),
        ("foo", "invalid mount path: 'foo' mount path must be absolute"),
        ("a b:/x", 'create a b: "a b" includes invalid characters for a local volume name'),
        ("x/y:/x", 'create x/y: "x/y" includes invalid characters for a local volume name'),
        ("-a:/x", 'create -a: "-a" includes invalid characters'),
        ("x:/x", "create x: volume name is too short"),
    ],
)
def test_what_is_no_volume(text, said):
    with pytest.raises(RootlessError) as caught:
        run_mounts.volume(text)
    assert said in caught.value.message


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("dst=/x", Mount("volume", "/x")),
        ("type=VOLUME,DST=/x", Mount("volume", "/x")),
        ("type=volume,destination=/x/../y ", Mount("volume", "/y")),
        ('type=volume,"dst=/x,y"', Mount("volume", "/x,y")),
        ("type=volume,src=db,target=/x,ro", Mount("volume", "/x", name="db", read_only=True)),
        ("type=volume,dst=/x,readonly=0", Mount("volume", "/x")),
        (
            "type=volume,src=db,dst=/x,volume-nocopy",
            Mount("volume", "/x", "", "db", False, ("nocopy",)),
        ),
        (
            "type=volume,src=db,dst=/x,volume-subpath=a/b",
            Mount("volume", "/x", "", "db", False, ("subpath=a/b",)),
        ),
        (
            "type=volume,src=db,dst=/x,volume-label=a=b,volume-driver=local,volume-opt=type=tmpfs",
            Mount(
                *("volume", "/x", "", "db", False),
                ("label=a=b", "volume-driver=local", "opt=type=tmpfs"),
            ),
        ),
        ("type=bind,source=/tmp,target=/x,consistency=cached", Mount("bind", "/x", "/tmp")),
        ("type=bind,src=/tmp,dst=/x,readonly", Mount("bind", "/x", "/tmp", read_only=True)),
        ("type=volume,dst=/x,type=bind,src=/tmp", Mount("bind", "/x", "/tmp")),
        (
            "type=bind,src=./d,dst=/x,bind-propagation=rslave",
            Mount("bind", "/x", f"{HERE}/d", options=("rslave",)),
        ),
        (
            "type=bind,src=/tmp,dst=/x,bind-nonrecursive",
            Mount("bind", "/x", "/tmp", options=("bind",)),
        ),
        (
            "type=bind,src=/tmp,dst=/x,bind-recursive=writable,readonly",
            Mount("bind", "/x", "/tmp", "", True, ("writable-submounts",)),
        ),
        (
            "type=bind,src=/tmp,dst=/x,bind-recursive=readonly,readonly",
            Mount("bind", "/x", "/tmp", read_only=True),
        ),
        ("type=bind,src=/n,dst=/x,bind-create-src", Mount("bind", "/x", "/n", options=("create",))),
        (
            "type=bind,src=/n,dst=/x,relabel=private,U=true",
            Mount("bind", "/x", "/n", options=("Z", "U")),
        ),
        (
            "type=tmpfs,dst=/x,tmpfs-size=1m,tmpfs-mode=0700",
            Mount("tmpfs", "/x", options=("size=1048576", "mode=0700")),
        ),
        ("type=tmpfs,dst=/x,ro", Mount("tmpfs", "/x", read_only=True)),
    ],
)
def test_a_mount(text, meant):
    assert run_mounts.mount(text) == meant.replace(flag="--mount")


def _invalid(text: str, what: str) -> str:
    return f'invalid argument "{text}" for "--mount" flag: {what}'


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("", "EOF"),
        ("src=vv", "target is required"),
        ("type=bind,src=/tmp", "target is required"),
        ("type=volume,dst=/x,foo=bar", "unexpected key 'foo' in 'foo=bar'"),
        ("type=volume,dst=/x,foo", "invalid field 'foo' must be a key=value pair"),
        ("type=volume,dst=/x,readonly=maybe", "invalid value for readonly: maybe"),
        (
            "type=bind,src=/t,dst=/x,volume-nocopy",
            "cannot mix 'volume-*' options with mount type 'bind'",
        ),
        (
            "type=volume,dst=/x,bind-propagation=rslave",
            "cannot mix 'bind-*' options with mount type 'volume'",
        ),
        (
            "type=volume,dst=/x,tmpfs-size=1m",
            "cannot mix 'tmpfs-*' options with mount type 'volume'",
        ),
        ("type=tmpfs,dst=/x,tmpfs-size=abc", "invalid value for tmpfs-size: abc"),
        ("type=tmpfs,dst=/x,tmpfs-size=-1", "invalid value for tmpfs-size: -1"),
        ("type=tmpfs,dst=/x,tmpfs-mode=999", "invalid value for tmpfs-mode: 999"),
        (
            "type=bind,src=/t,dst=/x,bind-recursive=foo",
            'invalid value for bind-recursive: foo (must be "enabled", "disabled", "writable", '
            'or "readonly")',
        ),
        (
            "type=bind,src=/t,dst=/x,bind-recursive=readonly",
            "option 'bind-recursive=readonly' requires 'readonly' to be specified in conjunction",
        ),
    ],
)
def test_what_docker_s_command_refuses(text, what):
    with pytest.raises(UsageError) as caught:
        run_mounts.mount(text)
    assert caught.value.message == _invalid(text, what)


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("type=tmpfs,dst=/x,uid=5", "whose a tmpfs is says --tmpfs /PATH:uid=NUMBER"),
        ("type=imag,src=a,dst=/x", "type=image,src=IMAGE,dst=/PATH"),
        ("type=image,src=a", "type=image,src=IMAGE,dst=/PATH"),
        ("type=tmpfs,dts=/x", "did you mean dst?"),
    ],
)
def test_the_way_out(text, hint):
    with pytest.raises(UsageError) as caught:
        run_mounts.mount(text)
    assert hint in caught.value.hint


@pytest.mark.parametrize(
    ("text", "kind", "what"),
    [
        ("type=nope,dst=/x", "nope", "mount type unknown"),
        ("type=npipe,src=a,dst=/x", "npipe", "mount type unknown"),
        ("type=bind,dst=/x", "bind", "field Source must not be empty"),
        ("type=bind,src=,dst=/x", "bind", "field Source must not be empty"),
        (
            "type=bind,src=rel,dst=/x",
            "bind",
            "invalid mount path: 'rel' mount path must be absolute",
        ),
        ("type=bind,src=/t,dst=/", "bind", "invalid specification: destination can't be '/'"),
        ("type=bind,src=/t,dst=/x,bind-propagation=foo", "bind", "invalid propagation mode: foo"),
        ("type=tmpfs,src=x,dst=/x", "tmpfs", "field Source must not be specified"),
        ("type=tmpfs,dst=x", "tmpfs", "invalid mount path: 'x' mount path must be absolute"),
        ("type=tmpfs,dst=/", "tmpfs", "invalid specification: destination can't be '/'"),
        (
            "type=volume,dst=/x,ro=1",
            "volume",
            "must not set ReadOnly mode when using anonymous volumes",
        ),
        (
            "type=volume,src=db,dst=/x,volume-subpath=../x",
            "volume",
            "subpath must be a relative path within the volume",
        ),
        (
            "type=volume,src=db,dst=/x,volume-subpath=/abs",
            "volume",
            "subpath must be a relative path within the volume",
        ),
    ],
)
def test_what_docker_s_daemon_refuses(text, kind, what):
    with pytest.raises(UsageError) as caught:
        run_mounts.mount(text)
    assert caught.value.message == f'invalid mount config for type "{kind}": {what}'


def test_a_key_that_differs_by_a_letter_is_named():
    with pytest.raises(UsageError) as caught:
        run_mounts.mount("type=bind,src=/t,dst=/x,bind-propagtion=rslave")
    assert caught.value.hint == "did you mean bind-propagation?"


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("/x", Mount("tmpfs", "/x")),
        ("/x:", Mount("tmpfs", "/x")),
        (
            "/x:size=1m,mode=700,noexec",
            Mount("tmpfs", "/x", options=("size=1m", "mode=700", "noexec")),
        ),
        ("/x:rw,ro", Mount("tmpfs", "/x", read_only=True)),
        ("/x:ro,rw", Mount("tmpfs", "/x")),
        ("/x:rshared", Mount("tmpfs", "/x")),
    ],
)
def test_memory(text, meant):
    assert run_mounts.memory(text) == meant.replace(flag="--tmpfs")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("/x:foo", 'invalid tmpfs option "foo"'),
        ("/x:foo=1", 'invalid tmpfs option "foo=1"'),
        ("/x:size", 'invalid tmpfs option "size"'),
        ("/x:size=", 'invalid tmpfs option "size="'),
        ("/x:uid=me", 'invalid tmpfs option "uid=me"'),
        ("/x:gid=-1", 'invalid tmpfs option "gid=-1"'),
        ("/x:mode=778", 'invalid tmpfs option "mode=778"'),
        ("x", "mount path must be absolute"),
        ("/", "destination can't be '/'"),
    ],
)
def test_what_is_no_memory(text, said):
    with pytest.raises(UsageError, match=said.replace("(", "\\(")):
        run_mounts.memory(text)


@pytest.mark.parametrize("text", ["c2", "c2:ro", "c2:rw", "c2:z", "c2:ro,z"])
def test_volumes_from(text):
    assert run_mounts.containers(Arguments({"volumes_from": (text,)})) == (text,)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "volumes-from specification cannot be an empty string"),
        ("c2:foo", "invalid mode: foo"),
        ("c2:ro:x", "invalid mode: ro:x"),
        (":ro", 'invalid name or ID supplied: ""'),
    ],
)
def test_what_is_no_volumes_from(text, said):
    with pytest.raises(UsageError, match=said):
        run_mounts.check_container(text)


def _read(driver: str = "", **given: tuple[str, ...]) -> tuple[Mount, ...]:
    none = dict.fromkeys(("volume", "mount", "tmpfs"), ())
    return run_mounts.read(Arguments({**none, **given, "volume_driver": driver}))


def test_there_is_one_driver():
    assert _read("local", volume=("db:/x",))
    with pytest.raises(RootlessError, match='plugin "nfs" not found'):
        _read("nfs", volume=("db:/x",))


def test_outer_mounts_come_first():
    found = _read(volume=("db:/a/b/c", "/tmp:/a"), mount=("type=tmpfs,dst=/a/b",))
    assert [one.target for one in found] == ["/a", "/a/b", "/a/b/c"]


@pytest.mark.parametrize(
    "given",
    [
        {"volume": ("/tmp:/x", "db:/x")},
        {"volume": ("/tmp:/x",), "mount": ("type=volume,dst=/x/",)},
        {"volume": ("/tmp:/x",), "tmpfs": ("/x",)},
        {"mount": ("dst=/x", "dst=/x/y/..")},
    ],
)
def test_two_things_on_one_place(given):
    with pytest.raises(RootlessError, match="Duplicate mount point: /x"):
        _read(**given)


def test_what_docker_counts_once():
    assert len(_read(volume=("/x", "/x/"))) == 1
    assert len(_read(volume=("/tmp:/x", "/tmp:/x"))) == 1
    (one,) = _read(tmpfs=("/x:size=1m", "/x:size=2m"))
    assert one.options == ("size=2m",)


def test_options_are_asked_by_their_key():
    one = run_mounts.mount("type=volume,src=db,dst=/x,volume-opt=type=tmpfs,volume-opt=o=size=1m")
    assert one.values("opt") == {"type": "tmpfs", "o": "size=1m"}
    assert one.value("subpath") == ""


PIECES = st.sampled_from(
    ["type=bind", "volume", "src=/a", "dst=/x", ",", "=", ":", "ro", "/", "..", '"', " ", "U", "\n"]
)
ANYTHING = st.lists(st.one_of(PIECES, st.text(max_size=4))).map("".join)


@given(ANYTHING)
def test_whatever_is_typed_is_understood_or_refused(text):
    for read in (run_mounts.volume, run_mounts.mount, run_mounts.memory):
        try:
            found = read(text)
        except RootlessError as error:
            assert error.message
        else:
            assert found.target.startswith("/")
            assert found.target != "/"
            assert os.path.normpath(found.target) == found.target
            assert found.kind != "bind" or found.source.startswith("/")
