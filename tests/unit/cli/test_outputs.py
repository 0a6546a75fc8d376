"""What `-o` and its like mean, and what is refused before anything is built."""

from __future__ import annotations

import pytest

from rootless.archive.compression import Compression
from rootless.cli import fetch, outputs, table
from rootless.cli.outputs import Output
from rootless.cli.parser import parse
from rootless.errors import RootlessError, UsageError
from rootless.oci.platform import Platform
from rootless.oci.reference import Reference


def asked(*words):
    return outputs.parse(parse(table.load("build"), [*words, "."]))


@pytest.fixture(autouse=True)
def in_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("os.isatty", lambda _: False)


def test_short_forms(tmp_path):
    assert asked() == (Output("image"),)
    assert asked("-o", "") == (Output("image"),)
    assert asked("-o", "out") == (Output("local", str(tmp_path / "out")),)
    assert asked("-o", "-") == (Output("tar", "-"),)
    assert asked("-o", "type=tar") == (Output("tar", "-"),)
    assert asked("--output=type=oci,dest=x.tar") == (Output("oci", str(tmp_path / "x.tar")),)


def test_push_and_load_add_to_what_is_asked_for(tmp_path):
    local = Output("local", str(tmp_path / "d"))
    assert asked("--push") == (Output("image", push=True),)
    assert asked("--push", "-o", "type=image") == (Output("image", push=True),)
    assert asked("--push", "-o", "d") == (local, Output("image", push=True))
    assert asked("--load", "-o", "d") == (local, Output("docker"))
    assert asked("--load", "-o", "type=docker") == (Output("docker"),)
    assert asked("-o", "type=registry") == (Output("image", push=True),)


def test_names_are_many_in_quotes():
    (one,) = asked("-o", '"type=image","name=a:1,b",push=true')
    assert one.names == (Reference.parse("a:1"), Reference.parse("b"))
    assert one.push


def test_compression():
    (one,) = asked("-o", "type=image,compression=zstd,compression-level=7,force-compression=true")
    assert (one.compression, one.force) == (Compression("zstd", 7), True)
    (one,) = asked("--compression", "gzip,9", "--push")
    assert one.compression == Compression("gzip", 9)
    (one,) = asked("--compression", "gzip", "-o", "type=image,compression=zstd")
    assert one.compression == Compression("zstd")
    (one,) = asked("-o", "type=oci,dest=x,compression=uncompressed")
    assert one.is_plain
    assert not one.compression


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["-o", "type=nope,dest=x"], "exporter 'nope' could not be found"),
        (["-o", "dest=x"], "there is no type"),
        (["-o", "type=local"], "dest is required for local exporter"),
        (["-o", "type=local,dest=-"], "dest cannot be stdout for local exporter"),
        (["-o", "type=tar,dst=x"], "no key 'dst'"),
        (["-o", "type=tar,x"], "'x' has no value"),
        (["-o", "type=image,push=maybe"], "neither true nor false"),
        (["-o", "type=image,compression=foo"], "'foo' is not a compression"),
        (["-o", "type=image,compression-level=abc"], "no level 'abc'"),
        (["-o", "type=oci,compression=estargz"], "estargz is not supported"),
        (["-o", "type=image,name=a@sha256:" + 64 * "0"], "cannot be named by a digest"),
        (["-o", '"type=tar'], "-o "),
        (["-o", "-", "-o", "type=oci"], "cannot both be standard output"),
        (["-o", "d", "--iidfile", "i"], "incompatible with image ID file"),
        (["-o", "type=tar,dest=no/such/x.tar"], "no such file or directory"),
        (["-o", "type=oci,dest=."], "is a directory"),
        (["-o", "file"], "destination directory file is a file"),
        (["-o", "dangling"], "destination directory dangling is a link to nothing"),
    ],
)
def test_refused(words, said, tmp_path):
    (tmp_path / "file").write_text("x")
    (tmp_path / "dangling").symlink_to("nothing")
    with pytest.raises(RootlessError) as caught:
        asked(*words)
    assert said in caught.value.message
    assert caught.value.hint


def test_nothing_is_written_to_a_terminal(monkeypatch):
    monkeypatch.setattr("os.isatty", lambda fd: fd == 1)
    for words in (["-o", "-"], ["-o", "type=oci"], ["-o", "type=docker,dest=-"]):
        with pytest.raises(RootlessError, match="refusing to write to console"):
            asked(*words)


def test_annotations_go_to_their_parts():
    words = ["a=b", "index:i=x:y=z", "index,manifest:m=n", "manifest-descriptor:e=f"]
    found = outputs.parse_annotations([*words, "manifest[linux/arm64]:g=h"])
    arm, here = Platform("linux", "arm64"), Platform("linux", "amd64")
    assert found.on("manifest", here) == {"a": "b", "m": "n"}
    assert found.on("manifest", arm) == {"a": "b", "m": "n", "g": "h"}
    assert found.on("manifest-descriptor", here) == {"e": "f"}
    assert found.index == {"i": "x:y=z", "m": "n"}


@pytest.mark.parametrize("text", ["foo", "=x", "index:=x"])
def test_an_annotation_without_key_or_value(text):
    with pytest.raises(UsageError, match="invalid annotation"):
        outputs.parse_annotations([text])


def test_an_unknown_part_of_an_annotation():
    with pytest.raises(UsageError) as caught:
        outputs.parse_annotations(["indx:a=b"])
    assert caught.value.hint == "did you mean index?"


@pytest.mark.parametrize(
    ("words", "is_refused"),
    [
        (["--provenance=false"], False),
        (["--sbom=false"], False),
        (["--attest", "type=provenance,disabled=true"], False),
        (["--provenance=true"], True),
        (["--provenance=mode=max"], True),
        (["--sbom=true"], True),
        (["--attest", "type=sbom"], True),
    ],
)
def test_attestations(words, is_refused):
    arguments = parse(table.load("build"), [*words, "."])
    if is_refused:
        with pytest.raises(UsageError, match="attestations are not supported"):
            outputs.refuse_attestations(arguments)
    else:
        outputs.refuse_attestations(arguments)


def test_platforms():
    arm, amd = Platform("linux", "arm64"), Platform("linux", "amd64")
    assert fetch.platforms(["linux/arm64,linux/amd64"]) == (arm, amd)
    assert fetch.platforms(["linux/arm64", "amd64", "arm64"]) == (arm, amd)
    assert fetch.platforms([]) == (Platform.host(),)
