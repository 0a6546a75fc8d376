"""What kaniko's flags become, and what is refused before anything is built."""

from __future__ import annotations

import pytest

from rootless.cli import kaniko, kaniko_context, kaniko_registries, settings, table
from rootless.cli.parser import parse
from rootless.errors import RootlessError
from rootless.oci.reference import Reference
from rootless.registry import certificates, sources


def asked(*argv):
    return parse(table.load("kaniko"), argv)


def context(*argv, **environment):
    return kaniko_context.find(asked(*argv), environment)


@pytest.fixture(autouse=True)
def in_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def words(*argv, **environment):
    given = settings.Settings("/store", "/run", environment)
    return list(kaniko._words(asked(*argv), given, "/staged"))


def test_the_words_are_those_of_build():
    found = words(
        "--destination=registry.example/app:1",
        "--label=a=b",
        "--build-arg=HERE",
        "--build-arg=GONE",
        "--build-arg=SAID=x=y",
        "--target=test",
        "--customPlatform=linux/arm64",
        "--reproducible",
        "--single-snapshot",
        HERE="from outside",
    )
    assert found == [
        "--progress=plain",
        "--build-arg=HERE=from outside",
        "--build-arg=GONE=",
        "--build-arg=SAID=x=y",
        "--label=a=b",
        "--tag=registry.example/app:1",
        "--target=test",
        "--platform=linux/arm64",
        "--source-date-epoch=0",
        "--squash",
        "--no-cache",
        "--push",
    ]
    parse(table.load("build"), [*found, "."])  # each is one of its flags


def test_the_cache_is_below_the_first_destination():
    found = words("-d", "registry.example/team/app:1", "-d", "other.example/app", "--cache=true")
    place = "type=registry,ref=registry.example/team/app/cache:rootless"
    assert f"--cache-from={place}" in found
    assert "--cache-to=type=registry,mode=max,ref=registry.example/team/app/cache:rootless" in found
    assert "--cache-ttl=336h" in found
    assert "--no-cache" not in found


def test_a_cache_that_is_a_folder(tmp_path):
    argv = ("--no-push", "--cache", f"--cache-repo=oci:{tmp_path}/kept,here", "--cache-ttl=2h")
    kept = tmp_path / "kept,here"
    assert f'--cache-to=type=local,mode=max,"dest={kept}"' in words(*argv)
    assert not [word for word in words(*argv) if word.startswith("--cache-from")]
    kept.mkdir()
    assert f'--cache-from=type=local,"src={kept}"' in words(*argv)
    assert not [word for word in words(*argv, "--no-push-cache") if word.startswith("--cache-to")]


@pytest.mark.parametrize(
    ("argv", "outputs"),
    [
        (("-d", "a"), ["--push"]),
        (("--no-push",), ["--load"]),
        (("-d", "a", "--tar-path", "x.tar"), ["--output=type=docker,dest=x.tar"]),
        (
            ("-d", "a", "--oci-layout-path", "out"),
            ["--output=type=oci,tar=false,dest=out", "--push"],
        ),
        (
            ("--no-push", "--digest-file", "digest"),
            ["--output=type=oci,dest=/staged/image", "--load"],
        ),
        (
            ("-d", "a", "--compression=zstd", "--compression-level=9"),
            ["--compression=zstd,9", "--push"],
        ),
    ],
)
def test_what_comes_out(argv, outputs):
    found = words(*argv)
    assert found[found.index("--no-cache") + 1 :] == outputs


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ((), "you must provide --destination, or use --no-push"),
        (("--no-push", "--cache"), "specify cache repo with --cache-repo"),
        (("--no-push", "--skip-unused-stages=false"), "never built"),
        (("-d", "a", "--cache", "--cache-run-layers=false"), "RUN steps are cached"),
    ],
)
def test_refused(argv, message):
    with pytest.raises(RootlessError, match=message):
        kaniko._check(asked(*argv))


def test_each_warning_names_its_flag():
    argv = ("--ignore-path=/x", "--ignore-path=/y", "--cache-dir=/c", "--force-build-metadata")
    found = list(kaniko._warnings(asked(*argv, "--credential-helpers=ecr", "--cleanup")))
    assert [text.partition(":")[0] for text in found] == [
        "--ignore-path /x",
        "--ignore-path /y",
        "--cache-dir /c",
        "--credential-helpers",
        "--force-build-metadata",
    ]
    assert not list(kaniko._warnings(asked("--credential-helpers=", "--snapshotMode=redo")))


def test_a_dockerfile_that_is_here_wins(tmp_path):
    (tmp_path / "app").mkdir()
    assert context("-c", "dir://app").words == ("--file", "app/Dockerfile", "--", "app")
    (tmp_path / "Dockerfile").touch()
    assert context("-c", "app").words == ("--file", f"{tmp_path}/Dockerfile", "--", "app")
    found = context("-c", "app", "-f", "https://x.example/D", "--context-sub-path=in")
    assert found.words == ("--file", "https://x.example/D", "--", "app/in")


def test_archives():
    assert context("-c", "tar://stdin").words[-1] == "-"
    assert context("-c", "tar:///a/b.tar.gz").words == ("--file", "Dockerfile", "--", "/a/b.tar.gz")
    with pytest.raises(RootlessError, match="--context-sub-path x"):
        context("-c", "tar://a.tar", "--context-sub-path", "x")


@pytest.mark.parametrize(
    "place", ["s3://b/c.tar.gz", "gs://b/c", "https://a.blob.core.windows.net/c"]
)
def test_a_bucket_is_refused(place):
    with pytest.raises(RootlessError, match="lies in a bucket"):
        context("-c", place)


def test_repositories():
    url = context("-c", "git://forge.example/a/b.git#refs/heads/main#0123").words[-1]
    assert url == "https://forge.example/a/b.git?submodules=false#0123"
    url = context("-c", "git://forge.example/a/b", "--git=branch=x", "--context-sub-path=in").words[
        -1
    ]
    assert url == "https://forge.example/a/b.git?submodules=false#x:in"
    found = context("-c", "git://f.example/b", "--git=recurse-submodules=true", GIT_TOKEN="secret")
    assert found.words[-1] == "https://f.example/b.git?submodules=true#"
    assert found.words[-4:-2] == ("--secret", "id=GIT_AUTH_HEADER,env=GIT_AUTH_HEADER")
    assert found.secrets == {"GIT_AUTH_HEADER": "basic c2VjcmV0Og=="}
    with pytest.raises(RootlessError, match="--git depth=1"):
        context("-c", "git://f.example/b", "--git", "depth=1")


def rules(folder, *argv, **environment):
    kaniko_registries.write(str(folder), asked(*argv), environment, kaniko._pushed_to)
    return sources.load((), (f"{folder}/registries.conf.d",))


def test_only_who_is_pushed_to_may_be_insecure(tmp_path):
    found = rules(tmp_path, "-d", "a.example/x", "--insecure", "--insecure-registry=b.example:5000")
    assert found.is_insecure("a.example")
    assert found.is_insecure("b.example:5000")
    assert not found.is_insecure("c.example")


def places(found, name):
    return [one.location for one in found.places(Reference.parse(name))]


def test_mirrors(tmp_path):
    argv = (
        "--registry-mirror=m.example/hub",
        "--registry-map=q.example=r.example;index.docker.io=n",
    )
    found = rules(tmp_path, *argv, KANIKO_REGISTRY_MIRROR="o.example")
    assert places(found, "busybox") == [
        "n/library/busybox",
        "m.example/hub/library/busybox",
        "o.example/library/busybox",
        "docker.io/library/busybox",
    ]
    assert places(found, "q.example/a/b") == ["r.example/a/b", "q.example/a/b"]


def test_no_fallback(tmp_path):
    argv = (
        "--registry-mirror=m.example",
        "--skip-default-registry-fallback",
        "--insecure-registry=m.example",
    )
    found = rules(tmp_path, *argv, "--insecure-registry=z.example")
    assert places(found, "busybox") == ["m.example/library/busybox"]
    assert found.places(Reference.parse("busybox"))[0].insecure
    assert places(found, "z.example/a") == ["z.example/a"]


def test_certificates(tmp_path):
    for name in ("ca.pem", "own.pem", "own.key"):
        (tmp_path / name).touch()
    argv = (
        "--registry-certificate=a.example=ca.pem",
        "--registry-client-cert=a.example=own.pem,own.key",
    )
    rules(tmp_path / "rules", *argv)
    found = certificates.find((f"{tmp_path}/rules/certs.d",), "a.example")
    assert len(found.authorities) == len(found.own) == 1
    with pytest.raises(RootlessError, match="no such file"):
        rules(tmp_path / "other", "--registry-certificate=a.example=gone.pem")
    with pytest.raises(RootlessError, match="is not HOST=VALUE"):
        rules(tmp_path / "third", "--registry-certificate=../x=ca.pem")


def test_own_rules_come_last_and_own_certificates_first():
    given = settings.Settings("/store", "/run", {"HOME": "/home/x"}, own_rules="/own")
    assert given.registries_folders[-1] == "/own/registries.conf.d"
    assert given.certificate_folders[0] == "/own/certs.d"
