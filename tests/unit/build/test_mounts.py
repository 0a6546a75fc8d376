"""RUN --mount understood: each key of each type, docker's words for what cannot be."""

from __future__ import annotations

import pytest

from rootless.build.plan import mounts
from rootless.build.plan.mounts import Bind, Cache, Secret, Ssh, Tmpfs
from rootless.dockerfile import expand
from rootless.dockerfile.errors import DockerfileError, Location
from rootless.dockerfile.flags import Flags
from rootless.dockerfile.lexer import LogicalLine

ENV = {"T": "/tt", "KIND": "cache", "YES": "true", "LIST": "/a,ro"}


def flags(*texts):
    line = LogicalLine(
        "RUN", tuple(f"--mount={one}" for one in texts), "x", (), "RUN x", Location(1, 1)
    )
    return Flags.of(line, repeated=("mount",)).mounts("mount")


def read_all(*texts, working_dir="/w"):
    return mounts.read_all(
        flags(*texts), lambda text: expand.expand(text, ENV), working_dir, lambda name: name
    )


def read(text, working_dir="/w"):
    (found,) = read_all(text, working_dir=working_dir)
    return found


BIND = Bind("/x", None, "/", writable=False)
CACHE = Cache("/c", "/c", "shared", True, 0o755, 0, 0, "", "/")
TMPFS = Tmpfs("/t", 0, True, None)
SECRET = Secret("k", "/run/secrets/k", "", 0o400, 0, 0, required=False)
SSH = Ssh("default", "", 0o600, 0, 0, required=False)


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("target=/x", BIND),
        ("type=bind,dst=/x", BIND),
        ("destination=/x/", BIND),
        ("TYPE=BIND,Target=/x", BIND),
        ("target=x", BIND.replace(target="/w/x")),
        ("target=.", BIND.replace(target="/w")),
        ("target=../y", BIND.replace(target="/y")),
        ("target=${T}/x", BIND.replace(target="/tt/x")),
        ("target=/x,source=../../d/", BIND.replace(source="/d")),
        ("target=/x,src=d/e", BIND.replace(source="/d/e")),
        ("target=/x,from=stage", BIND.replace(origin="stage")),
        ("target=/x,rw", BIND.replace(writable=True)),
        ("target=/x,readwrite=1", BIND.replace(writable=True)),
        ("target=/x,ro=false", BIND.replace(writable=True)),
        ("target=/x,ro=TRUE", BIND),
        ("target=/x,rw,ro", BIND),
        ("target=/x,ro,rw", BIND.replace(writable=True)),
        ("target=/y,target=/x", BIND),
        ("target=/x,z", BIND),
        ("target=/x,Z", BIND),
        ("target=/x,relabel=shared,bind-propagation=rprivate", BIND),
        ("target=/x,id=3,env=FOO", BIND),
        ('"target=/x,y"', BIND.replace(target="/x,y")),
        ("type=cache,target=/c", CACHE),
        ("type=$KIND,target=/c", CACHE),
        ("type=cache,target=c/", CACHE.replace(target="/w/c", id="/w/c")),
        ("type=cache,target=/c,id=k,sharing=LOCKED", CACHE.replace(id="k", sharing="locked")),
        ("type=cache,target=/c,ro", CACHE.replace(writable=False)),
        ("type=cache,target=/c,mode=0700,uid=5,gid=6", CACHE.replace(mode=0o700, uid=5, gid=6)),
        ("type=cache,target=/c,from=s,source=o", CACHE.replace(origin="s", source="/o")),
        ("type=tmpfs,target=/t", TMPFS),
        ("type=tmpfs,target=/t,ro", TMPFS.replace(writable=False)),
        ("type=tmpfs,target=/t,size=1.5m", TMPFS.replace(size=3 << 19)),
        ("type=tmpfs,target=/t,tmpfs-size=64,tmpfs-mode=700", TMPFS.replace(size=64, mode=0o700)),
        ("type=tmpfs,target=$LIST", TMPFS.replace(target="/a,ro")),
        ("type=secret,id=k", SECRET),
        ("type=secret,source=k", SECRET),
        ("type=secret,id=a/k", SECRET.replace(id="a/k")),
        ("type=secret,target=a/k", SECRET.replace(target="/w/a/k")),
        ("type=secret,id=k,env=K", SECRET.replace(target="", env="K")),
        ("type=secret,id=k,env=K,target=/k", SECRET.replace(target="/k", env="K")),
        ("type=secret,id=k,required", SECRET.replace(required=True)),
        ("type=secret,id=k,required=$YES", SECRET.replace(required=True)),
        ("type=secret,id=k,mode=4755,uid=1", SECRET.replace(mode=0o755, uid=1)),
        ("type=ssh", SSH),
        ("type=ssh,id=git,target=/s,mode=0666,gid=2,required=true",
         Ssh("git", "/s", 0o666, 0, 2, required=True)),
    ],
)  # fmt: skip
def test_what_is_meant(text, meant):
    assert read(text) == meant


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("type=bind", 'invalid mount target "/"'),
        ("type=cache,id=foo", 'invalid mount target "/"'),
        ("type=tmpfs,target=/", 'invalid mount target "/"'),
        ("type=tmpfs,target=/a/..", 'invalid mount target "/"'),
        ("type=tmpfs,target=../..", 'invalid mount target "/"'),
        ("type=cache,target=$NOPE", 'invalid mount target "/"'),
        ("type=tmpfs,target=/proc", 'invalid mount target "/proc"'),
        ("type=tmpfs,target=//proc/self", 'invalid mount target "/proc/self"'),
        ("type=nfs,target=/x", 'unsupported mount type "nfs"'),
        ("type=tmpfs,target=/x,foo=bar", "unexpected key 'foo' in 'foo=bar'"),
        ("type=tmpfs,target=/x,foo", "invalid field 'foo' must be a key=value pair"),
        ("type=tmpfs,", "invalid field '' must be a key=value pair"),
        ("target", "invalid field 'target' must be a key=value pair"),
        ("type=tmpfs,target=/x,mode=0700", "mode not allowed for tmpfs mounts"),
        ("target=/x,size=5", "size not allowed for bind mounts"),
        ("target=/x,uid=5", "uid not allowed for bind mounts"),
        ("target=/x,sharing=locked", "sharing not allowed for bind mounts"),
        ("target=/x,required", "required not allowed for bind mounts"),
        ("target=/x,bind-propagation=shared", 'unsupported bind-propagation value "shared"'),
        ("target=/x,U=true", "unexpected key 'u' in 'U=true'"),
        ("target=/x,ro=maybe", "invalid value 'maybe' for readonly"),
        ("type=cache,target=/x,sharing=foo", 'unsupported sharing value "foo"'),
        ("type=cache,target=/x,source=d", "a cache mount takes its source from an image"),
        ("type=cache,target=/x,uid=bob", "invalid value 'bob' for uid"),
        ("type=cache,target=/x,uid=4294967295", "invalid value '4294967295' for uid"),
        ("type=cache,target=/x,mode=999", "invalid value '999' for mode"),
        ("type=cache,target=/x,mode=77777", "invalid value '77777' for mode"),
        ("type=tmpfs,target=/x,size=abc", "invalid value 'abc' for size"),
        ("type=tmpfs,target=/x,size=-1", "invalid value '-1' for size"),
        ("type=tmpfs,target=/x,size=9999999p", "invalid value '9999999p' for size"),
        ("type=secret", "a secret mount needs an id"),
        ("type=secret,env=x", "a secret mount needs an id"),
        ("type=secret,id=x,env=A=B", "'A=B' is not a variable's name"),
    ],
)
def test_what_cannot_be(text, problem):
    with pytest.raises(DockerfileError) as caught:
        read(text, "/")
    assert problem in caught.value.problem


def test_what_was_probably_meant_is_said():
    with pytest.raises(DockerfileError) as caught:
        read("type=cahce,target=/x")
    assert caught.value.hint == "did you mean cache?"
    with pytest.raises(DockerfileError) as caught:
        read("type=cache,targte=/x")
    assert caught.value.hint == "did you mean target?"


def test_outer_mounts_come_first_and_the_last_of_two_at_one_place_counts():
    found = read_all(
        *("type=tmpfs,target=/c/d", "type=cache,target=/c", "type=tmpfs,target=/z"),
        *("type=secret,id=a,env=A", "type=secret,id=b,env=B", "type=bind,target=/z/"),
    )
    assert [(type(one), one.target) for one in found] == [
        (Secret, ""), (Secret, ""), (Cache, "/c"), (Bind, "/z"), (Tmpfs, "/c/d"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "size"),
    [("0", 0), ("64", 64), ("64b", 64), ("1k", 1024), ("1kb", 1024), ("1KiB", 1024),
     ("1 g", 1 << 30), (".5m", 1 << 19), ("", None), ("k", None),
     ("1.2.3", None), ("1e3", None), ("٣", None),
     ("1" * 30, None), ("nan", None), ("inf", None), ("1x", None)],
)  # fmt: skip
def test_sizes(text, size):
    assert mounts.size_of(text) == size
