"""Images by the command line: made, listed, named, shown, saved, loaded and removed."""

from __future__ import annotations

import io
import json
import re
import subprocess
import tarfile

import pytest

pytestmark = pytest.mark.needs("userns")

EMPTY_TABLE = "REPOSITORY   TAG       IMAGE ID   CREATED   SIZE\n"


@pytest.fixture
def rootfs(tmp_path):
    """A root file system of two files, as a tarball."""
    path = tmp_path / "rootfs.tar"
    with tarfile.open(path, "w") as tar:
        for name, content in ("etc/motd", b"hello\n"), ("bin/run", b"#!\n"):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


@pytest.fixture
def motd(rootless, rootfs):
    """The id of an image called motd:1 in the store."""
    changes = ["-c", 'CMD ["cat", "/etc/motd"]', "-c", "ENV A=b", "-c", "LABEL kind=test"]
    return rootless.ok("import", *changes, "-m", "by hand", rootfs, "motd:1").strip()


def test_an_empty_store(rootless):
    assert rootless.ok("images") == EMPTY_TABLE
    assert rootless.ok("images", "-q") == ""
    assert not rootless.root.exists()


def test_images(rootless, motd):
    header, row = rootless.ok("images").splitlines()
    assert header.split() == ["REPOSITORY", "TAG", "IMAGE", "ID", "CREATED", "SIZE"]
    short = motd.removeprefix("sha256:")[:12]
    assert row.startswith(f"motd         1         {short}   ")
    assert rootless.ok("images", "-q").split() == [short]
    assert rootless.ok("images", "-q", "--no-trunc").split() == [motd]
    assert rootless.ok("image", "ls", "--format", "{{.Repository}}:{{.Tag}}") == "motd:1\n"
    assert json.loads(rootless.ok("images", "--format", "json"))["ID"] == short


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["motd"], True),
        (["motd:1"], True),
        (["docker.io/library/motd"], True),
        (["mo*"], True),
        (["other"], False),
        (["--filter", "reference=mo?d:*"], True),
        (["--filter", "label=kind"], True),
        (["--filter", "label=kind=test"], True),
        (["--filter", "label=kind=other"], False),
        (["--filter", "dangling=true"], False),
        (["--filter", "dangling=false"], True),
        (["--filter", "since=motd:1"], False),
        (["--filter", "label!=kind"], False),
        (["--filter", "label!=kind=other"], True),
        (["--filter", "label=kind", "--filter", "label=no"], False),
        (["--filter", "until=24h"], False),
        (["--filter", "until=2199-01-01"], True),
        (["--filter", "until=2199-01-01", "--filter", "until=24h"], False),
    ],
)
def test_choosing_images(rootless, motd, words, found):
    assert bool(rootless.ok("images", "-q", *words)) is found


def test_a_reference_filter_shows_only_the_names_that_match(rootless, motd):
    rootless.ok("tag", "motd:1", "localhost:5000/team/other:2")
    shown = ("images", "--format", "{{.Repository}}:{{.Tag}}", "--filter")
    assert rootless.ok(*shown, "reference=*/*/other") == "localhost:5000/team/other:2\n"
    assert rootless.ok(*shown, "reference=motd") == "motd:1\n"
    both = rootless.ok(*shown, "reference=motd", "--filter", "reference=*/*/*:2")
    assert set(both.split()) == {"motd:1", "localhost:5000/team/other:2"}
    assert rootless.ok("images", "-q", "--filter", "reference=nothing") == ""


def test_times_are_printed_as_docker_prints_them(rootless, motd):
    created = rootless.ok("images", "--format", "{{.CreatedAt}}").strip()
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d [+-]\d{4} \w+", created)


def test_a_bad_filter(rootless, motd):
    result = rootless("images", "--filter", "colour=red")
    assert result.exit == 1
    assert "invalid filter 'colour'" in result.stderr
    assert "invalid filter 'dangling=maybe'" in rootless("images", "-f", "dangling=maybe").stderr
    no_value = rootless("images", "--filter", "dangling")
    assert "bad format of filter (expected name=value)" in no_value.stderr
    unknown = rootless("images", "--filter", "since=nothing")
    assert "No such image: nothing:latest" in unknown.stderr


def test_inspect(rootless, motd):
    (value,) = json.loads(rootless.ok("inspect", "motd:1"))
    assert value["Id"] == motd
    assert value["RepoTags"] == ["motd:1"]
    assert value["Config"]["Cmd"] == ["cat", "/etc/motd"]
    assert value["Config"]["Labels"] == {"kind": "test"}
    assert value["Config"]["Entrypoint"] is None
    assert value["RootFS"]["Type"] == "layers"
    assert rootless.ok("inspect", "-f", "{{.Id}}", motd[:15]) == f"{motd}\n"
    assert "A=b" in json.loads(rootless.ok("inspect", "-f", "{{json .Config.Env}}", "motd:1"))


def test_inspect_prints_what_it_found_and_fails_for_the_rest(rootless, motd):
    result = rootless("inspect", "motd:1", "nothing")
    assert result.exit == 1
    assert [image["Id"] for image in json.loads(result.stdout)] == [motd]
    assert "No such object: nothing" in result.stderr


def test_history(rootless, motd):
    header, row = rootless.ok("history", "motd:1").splitlines()
    assert header.split() == ["IMAGE", "CREATED", "CREATED", "BY", "SIZE", "COMMENT"]
    assert row.endswith("by hand")
    assert rootless.ok("history", "-q", "--no-trunc", "motd:1").split() == [motd]
    size = rootless.ok("history", "--human=false", "--format", "{{.Size}}", "motd:1")
    assert int(size) == len("hello\n#!\n")  # what is in the files, not the blocks of their tar


def test_tag_and_rmi(rootless, motd):
    rootless.ok("tag", "motd:1", "localhost:5000/other:2")
    by_id = rootless("rmi", motd)
    assert by_id.exit == 1
    assert "image is referenced in multiple repositories" in by_id.stderr
    short = motd.removeprefix("sha256:")[:12]
    assert rootless.ok("images", "-q").split() == [short, short], "one for each name, as docker"
    assert rootless.ok("rmi", "motd:1") == "Untagged: motd:1\n"
    untagged, deleted, *_ = rootless.ok("rmi", "localhost:5000/other:2").splitlines()
    assert (untagged, deleted) == ("Untagged: localhost:5000/other:2", f"Deleted: {motd}")
    assert rootless.ok("images") == EMPTY_TABLE
    assert list((rootless.root / "layers").iterdir()) == []


def test_rmi_goes_on_after_an_error(rootless, motd):
    result = rootless("rmi", "nothing", "motd:1")
    assert result.exit == 1
    assert "No such image: nothing:latest" in result.stderr
    assert "Untagged: motd:1" in result.stdout
    forced = rootless("rmi", "-f", "nothing")
    assert (forced.exit, forced.stderr) == (0, "No such image: nothing:latest\n")


@pytest.mark.needs("overlay", "busybox")
def test_rmi_of_an_image_that_a_container_uses(rootless, busybox_image, tmp_path):
    name = rootless.load(busybox_image, tmp_path)
    rootless.ok("run", "--network", "none", name, "true")
    refused = rootless("rmi", name)
    assert refused.exit == 1
    assert f'conflict: unable to remove repository reference "{name}" (must' in refused.stderr
    assert "Deleted: " in rootless.ok("rmi", "-f", name)
    assert rootless.ok("images", "-aq") == ""
    assert len(list((rootless.root / "layers").iterdir())) == 1, "the container keeps its files"
    rootless.ok("system", "prune", "-f")
    assert list((rootless.root / "layers").iterdir()) == []


def test_every_image_is_removed(rootless, motd):
    rootless.ok("tag", "motd:1", "localhost:5000/other:2", "third")
    assert rootless.ok("images", "-q", "third") != ""
    said = rootless.ok("rmi", "--all").splitlines()
    assert said[:4] == [
        "Untagged: motd:1",
        "Untagged: localhost:5000/other:2",
        "Untagged: third:latest",
        f"Deleted: {motd}",
    ]
    assert rootless.ok("rmi", "-a") == ""
    assert rootless("rmi", "-a", "motd:1").exit == 1
    assert "requires at least 1 argument" in rootless("rmi").stderr


def test_all_targets_of_a_tag_or_none(rootless, motd):
    assert rootless("tag", "motd:1", "good", "BAD").exit == 1
    assert rootless.ok("images", "--format", "{{.Repository}}") == "motd\n"


def test_untag_keeps_the_image(rootless, motd):
    rootless.ok("tag", "motd:1", "other", "third")
    unknown = rootless("untag", "motd:1", "other", "fourth")
    assert (unknown.exit, unknown.stderr.splitlines()[0]) == (1, "error: fourth: tag not known")
    rootless.ok("untag", "motd:1", "other")
    assert rootless("image", "exists", "other").exit == 1
    rootless.ok("image", "untag", motd[:19])
    shown = rootless.ok("images", "--no-trunc", "--format", "{{.Repository}} {{.ID}}")
    assert shown == f"<none> {motd}\n"
    rootless.ok("untag", motd)
    assert "No such image" in rootless("untag", "third").stderr


def test_image_exists(rootless, motd):
    for name, code in (("motd:1", 0), (motd[:15], 0), ("motd", 1), ("mo", 1)):
        answer = rootless("image", "exists", name)
        assert answer == (code, "", ""), name
    assert "not an image reference" in rootless("image", "exists", "NO!").stderr


def test_prunes_only_what_its_filters_allow(rootless, rootfs):
    def make(*changes):
        return rootless.ok("import", *changes, rootfs).strip()

    def prune(*filters):
        return rootless.ok("image", "prune", "-f", *(f"--filter={one}" for one in filters))

    kept = make("-c", "LABEL keep=yes")
    other = make("-c", "LABEL other=1")
    assert prune("label=keep=no") == prune("until=1h") == "Total reclaimed space: 0B\n"
    assert prune("label!=keep").startswith(f"Deleted Images:\ndeleted: {other}\n")
    assert rootless.ok("images", "-q", "--no-trunc").split() == [kept]
    assert "invalid filter 'colour'" in rootless("image", "prune", "--filter", "colour=red").stderr
    assert 'failed to parse value as time or duration: "x"' in (
        rootless("system", "prune", "--filter", "until=x").stderr
    )
    both = rootless("system", "prune", "--volumes", "--filter", "until=1h", stdin="y\n")
    assert 'The "until" filter is not supported with "--volumes"' in both.stderr
    asked = rootless("system", "prune", "--volumes", "--filter", "label=keep", stdin="n\n").stdout
    assert "  - all anonymous volumes not used by at least one container\n" in asked
    assert "\n\n  Items to be pruned will be filtered with:\n  - label=keep\n\nAre you" in asked
    assert f"deleted: {kept}" in rootless.ok("system", "prune", "-f", "--filter", "label=keep")


def test_a_name_that_is_nearly_one(rootless, motd):
    for verb in ("rmi", "inspect", "history", "save"):
        result = rootless(verb, "mtod:1")
        assert result.exit == 1
        what = "object" if verb == "inspect" else "image"
        assert f"No such {what}: mtod:1" in result.stderr
        assert "did you mean motd:1?" in result.stderr


def test_a_name_that_no_registry_has_but_is_nearly_one_here(rootless, motd, tmp_path):
    """The registry's own answer stays the error: what is meant is a guess."""
    rootless.ok("tag", "motd:1", "127.0.0.1:1/motd")
    (tmp_path / "Dockerfile").write_text("FROM 127.0.0.1:1/mtod\n")
    for words in (("run", "127.0.0.1:1/mtod", "true"), ("build", tmp_path)):
        result = rootless(*words)
        assert "cannot connect to 127.0.0.1:1: Connection refused" in result.stderr
        hint = "hint: did you mean 127.0.0.1:1/motd, which is here? otherwise check the name"
        assert hint in result.stderr


def test_a_file_that_is_no_tar(rootless, tmp_path):
    (tmp_path / "text").write_text("no tar\n" * 200)
    (tmp_path / "short").write_text("no tar\n")
    for name in ("text", "short"):
        for words in (("load", "-i", tmp_path / name), ("import", tmp_path / name, "x")):
            assert "hint: is this a tar archive?" in rootless(*words).stderr


def test_an_image_for_another_machine(rootless, rootfs, tmp_path):
    rootless.ok("import", "--platform", "linux/s390x", rootfs, "far")
    wanted = rootless("run", "--platform", "linux/amd64", "far", "x")
    assert wanted.exit == 125
    assert "the image far is for linux/s390x, not for linux/amd64" in wanted.stderr
    (tmp_path / "Dockerfile").write_text("FROM far\nRUN true\n")
    built = rootless("build", "--platform", "linux/amd64", tmp_path)
    assert "is for linux/s390x, not for linux/amd64" in built.stderr
    assert "--platform linux/s390x" in built.stderr
    tried = rootless("run", "--network", "none", "far", "/etc/motd")
    assert "WARNING: The requested image's platform (linux/s390x) does not match" in tried.stderr


def test_a_store_that_others_own_or_may_write_is_refused(rootless, motd):
    rootless.root.chmod(0o775)
    result = rootless("images")
    assert result.exit == 1
    assert f"the store {rootless.root} can be written by others than you" in result.stderr
    assert f"chmod go-w {rootless.root}" in result.stderr
    rootless.root.chmod(0o700)
    rootless.ok("images")
    others = rootless("--root", "/", "images")
    assert "the store / belongs to somebody else" in others.stderr


def test_names_that_cannot_be(rootless, motd):
    assert rootless("tag", "motd:1", "UPPER").exit == 1
    assert rootless("tag", "motd:1", f"x@{motd}").exit == 1
    assert rootless("tag", "nothing", "x").exit == 1


@pytest.mark.needs("skopeo")
def test_save_is_read_by_skopeo_and_loads_again(rootless, motd, tmp_path):
    archive = tmp_path / "motd.tar"
    rootless.ok("save", "-o", archive, "motd:1")
    shown = subprocess.run(
        ["skopeo", "inspect", "--config", f"docker-archive:{archive}"],
        capture_output=True, check=True,
    ).stdout  # fmt: skip
    assert json.loads(shown)["config"]["Cmd"] == ["cat", "/etc/motd"]
    rootless.ok("rmi", "motd:1")
    assert rootless.ok("load", "-i", archive) == "Loaded image: motd:1\n"
    assert rootless.ok("images", "-q", "--no-trunc").split() == [motd]
    assert [path.name for path in tmp_path.glob(".*")] == []


def test_files_that_cannot_be_used(rootless, motd, tmp_path):
    for words in (("load", "-i"), ("import",)):
        missing = rootless(*words, tmp_path / "none")
        said = f"error: open {tmp_path}/none: no such file or directory\n"
        assert (missing.exit, missing.stderr.startswith(said)) == (1, True)
    rootless.ok("save", "-o", tmp_path / "motd.tar", "motd:1")
    folder = rootless("save", "-o", tmp_path, "motd:1")
    assert (folder.exit, f"error: {tmp_path} is a directory" in folder.stderr) == (1, True)
    slip = rootless("load", "-i", "modt.tar", cwd=tmp_path)
    assert slip.stderr.endswith("\n\nhint: did you mean motd.tar?\n")
    unwritable = rootless("save", "-o", tmp_path / "none" / "x", "motd:1")
    assert "No such file or directory" in unwritable.stderr
    assert unwritable.exit == 1


@pytest.mark.parametrize("content", [b"", bytes(20_000)])
def test_an_empty_archive_is_called_that(rootless, tmp_path, content):
    """A pipe from a command that failed: the hint is about that one."""
    (tmp_path / "empty").write_bytes(content)
    result = rootless("load", "-i", tmp_path / "empty")
    assert (result.exit, result.stdout) == (1, "")
    assert result.stderr.startswith("error: the archive is empty\n\nhint: did the command")


@pytest.mark.parametrize("device", ["/dev/zero", "/dev/full"])
def test_an_endless_device_is_no_archive(rootless, device):
    loaded = rootless("load", "-i", device, timeout=120)
    assert (loaded.exit, loaded.stderr.splitlines()[0]) == (1, "error: the archive is empty")
    imported = rootless("import", device, timeout=120)
    assert (imported.exit, imported.stdout) == (1, "")
    assert "goes on for more than 64 MiB after its end" in imported.stderr
    assert rootless.ok("images", "-aq") == ""


def test_an_empty_name_of_a_file_is_none(rootless, motd):
    """As for docker: what an unset variable of a script leaves is a standard stream."""
    archive = subprocess.run(
        rootless.command("save", "-o", "", "motd:1"),
        env=rootless.environment, capture_output=True, check=True,
    ).stdout  # fmt: skip
    loaded = subprocess.run(
        rootless.command("load", "-i", ""),
        env=rootless.environment, input=archive, capture_output=True, check=True,
    )  # fmt: skip
    assert loaded.stdout == b"Loaded image: motd:1\n"


def test_import_refuses_what_is_not_config(rootless, rootfs):
    result = rootless("import", "-c", "RUN true", rootfs)
    assert "RUN is not a valid change command" in result.stderr
    assert rootless.ok("images") == EMPTY_TABLE


def test_prune_asks_and_removes_what_has_no_name(rootless, motd, rootfs):
    rootless.ok("import", "-c", "LABEL no=name", rootfs)
    asked = rootless("system", "prune", stdin="n\n")
    assert "Are you sure you want to continue? [y/N]" in asked.stdout
    assert len(rootless.ok("images", "-q").split()) == 2
    agreed = rootless.ok("image", "prune", stdin="y\n")
    assert "Total reclaimed space:" in agreed
    assert rootless.ok("images", "-q", "--no-trunc").split() == [motd]
    rootless.ok("system", "prune", "-af")
    assert rootless.ok("images") == EMPTY_TABLE


@pytest.mark.needs("registry", "skopeo", "busybox")
def test_pull(rootless, registry, busybox_image):
    name = registry.push(busybox_image, "cli-pull:1")
    pulled = rootless("pull", name)
    assert pulled.stderr == ""  # docker's is all on standard output
    first, *lines = pulled.stdout.splitlines()
    assert first == "1: Pulling from cli-pull"
    assert [line.split(": ")[1] for line in lines[:1] + lines[-5:-3]] == [
        "Pulling fs layer", "Extracting", "Pull complete",
    ]  # fmt: skip
    assert f"Status: Downloaded newer image for {name}" in pulled.stdout
    assert pulled.stdout.splitlines()[-1] == name
    again = rootless("pull", name)
    assert f"Status: Image is up to date for {name}" in again.stdout
    digest = again.stdout.splitlines()[-3].removeprefix("Digest: ")
    served = f"{name.removesuffix(':1')}@{digest}"
    assert json.loads(rootless.ok("inspect", "-f", "{{json .RepoDigests}}", name)) == [served]
    assert digest in rootless.ok("images", "--digests", served)
    quiet = rootless("pull", "-q", name)
    assert (quiet.stdout, quiet.stderr) == (f"{name}\n", "")


def test_doctor_and_info(rootless):
    assert "✓ user namespace:" in rootless("doctor").stdout
    info = json.loads(rootless.ok("info", "--format", "json"))
    assert (info["DockerRootDir"], info["Images"]) == (str(rootless.root), 0)
    assert rootless.ok("version", "--format", "{{.Client.Version}}").strip()


def test_a_damaged_image_hides_no_other(rootless, motd, rootfs):
    broken = rootless.ok("import", rootfs, "broken").strip()
    (rootless.root / "blobs/sha256" / broken.removeprefix("sha256:")).unlink()
    assert set(rootless.ok("images", "--format", "{{.Repository}}").split()) == {"motd", "broken"}
    assert "the blob sha256:" in rootless("inspect", "broken").stderr
    index = rootless.root / "index.json"
    value = json.loads(index.read_bytes())
    for entry in value["manifests"]:  # as another tool, or an older version, would have it
        entry["annotations"] = {
            key: text for key, text in entry["annotations"].items() if key.endswith("name")
        }
    index.write_text(json.dumps(value))
    listed = rootless("images", "--format", "{{.Repository}}")
    assert (listed.exit, listed.stdout) == (0, "motd\n")
    (warning,) = listed.stderr.splitlines()
    assert warning.startswith("warning: broken:latest is damaged and left out: the blob sha256:")
    assert rootless("rmi", "broken").exit == 0
    assert rootless("images").stderr == ""


def test_a_name_with_digest_is_all_that_goes_with_it(rootless, registry, rootfs):
    """As docker has it: the image stays under its tag, and is not known to be served any more."""
    rootless.ok("import", rootfs, "motd:1")
    name = f"{registry.address}/rmi/digest"
    rootless.ok("push", "-q", "--tls-verify=false", "motd:1", f"{name}:1")
    rootless.ok("rmi", "motd:1")
    rootless.ok("pull", "-q", "--tls-verify=false", f"{name}:1")
    (served,) = json.loads(rootless.ok("inspect", f"{name}:1"))[0]["RepoDigests"]
    digest = served.partition("@")[2]
    wrong = rootless("rmi", f"{name}@sha256:{'0' * 64}")
    assert "No such image" in wrong.stderr
    assert rootless.ok("rmi", served) == f"Untagged: {served}\n"
    (shown,) = json.loads(rootless.ok("inspect", f"{name}:1"))
    assert (shown["RepoTags"], shown["RepoDigests"]) == ([f"{name}:1"], [])
    again = rootless("rmi", served)
    assert (again.exit, "No such image" in again.stderr) == (1, True)
    assert "Deleted: " in rootless.ok("rmi", f"{name}:1")
    rootless.ok("pull", "-q", "--tls-verify=false", served)
    assert f"Untagged: {served}\nDeleted: " in rootless.ok("rmi", served)
    assert rootless.ok("images", "-q") == ""
    assert digest


def test_files_that_cannot_be_read_or_written_have_a_way_out(rootless, motd, tmp_path):
    (tmp_path / "Dockerfile").write_text("")
    (tmp_path / "backup.tar").write_text("")
    missing = tmp_path / "no" / "x.tar"
    for words, told in (
        (("load", "-i", "nofile"), "rootless save -o FILE"),
        (("load", "-i", "bakcup.tar"), "did you mean backup.tar?"),
        (("import", "nofile"), "name a tar archive, a URL"),
        (("save", "-o", missing, "motd:1"), f"there is no folder {missing.parent}"),
        (("save", "-o", "/dev/full", "motd:1"), "make room there"),
        (("copy", "motd:1", f"oci-archive:{missing}"), f"there is no folder {missing.parent}"),
        (("pull", "--al"), "did you mean --all-tags?"),
        (("images", "--qui"), "did you mean --quiet?"),
    ):
        said = rootless(*words, cwd=tmp_path)
        assert said.exit != 0
        assert told in said.stderr, words
