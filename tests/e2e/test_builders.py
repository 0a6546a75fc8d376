"""`buildx` and `builder`: the one builder, as clients ask for it, and what it keeps."""

from __future__ import annotations

import fcntl
import json
import os
import re
import time
from datetime import datetime

import pytest

from rootless.cli import words

pytestmark = pytest.mark.needs("userns", "subids", "overlay", "busybox")


@pytest.fixture
def project(rootless, busybox_image, tmp_path):
    """`made`, of two steps; beside it a stage that only the cache keeps."""
    rootless.load(busybox_image, tmp_path)
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "file").write_text("content\n")
    (folder / "Dockerfile").write_text(
        "FROM busybox AS tools\nRUN head -c 5000 /dev/zero > /etc/tool\n"
        "FROM busybox\nCOPY file /\nCOPY --from=tools /etc/tool /\n"
    )
    rootless.ok("build", "-q", "-t", "made", folder)
    return folder


def rows(rootless, *flags):
    lines = rootless.ok("buildx", "du", "--format", "json", *flags).splitlines()
    return [json.loads(line) for line in lines]


def cached(rootless, folder):
    said = rootless("build", "--progress=plain", "-t", "made", folder).stderr
    return len(re.findall(r"^#\d+ CACHED$", said, re.MULTILINE))


def test_what_is_kept(rootless, project):
    found = {row["Description"]: row for row in rows(rootless)}
    tool = found["RUN head -c 5000 /dev/zero > /etc/tool"]
    assert (tool["Type"], tool["Shared"], tool["Reclaimable"]) == ("regular", False, True)
    assert (tool["Size"][0], tool["Mutable"]) == ("5", False)
    assert found["COPY --from=tools /etc/tool /"]["Shared"] is True
    context = found[f"local source for {project}"]
    assert (context["Type"], context["Mutable"]) == ("source.local", True)
    assert sorted(row["Type"] for row in found.values()) == [
        *("internal", "regular", "regular", "regular", "source.local"),
    ]
    assert re.fullmatch("[0-9a-f]{25}", tool["ID"])
    table = rootless.ok("builder", "du").splitlines()
    assert table[0].split("  ")[0] == "ID"
    assert [line.split(":")[0] for line in table[-4:]] == [
        *("Shared", "Private", "Reclaimable", "Total"),
    ]
    (starred,) = [line for line in table if line.startswith(context["ID"])]
    assert starred.split()[0] == context["ID"] + "*"
    whole = rootless.ok("buildx", "du", "--verbose", "--filter", f"id={tool['ID'][:9]}")
    assert "Description:  RUN head -c 5000 /dev/zero > /etc/tool\n" in whole
    assert whole.count("ID:  ") == 1
    assert "Total" not in whole, "docker adds nothing up behind a filter"
    assert rootless.ok("buildx", "du", "--format", "{{.Type}} {{.Mutable}}").count("true") == 1


def test_filters(rootless, project):
    def types(*filters):
        flags = [word for one in filters for word in ("--filter", one)]
        return sorted(row["Type"] for row in rows(rootless, *flags))

    assert types("type=regular") == ["regular"] * 3
    assert types("type=regular", "private") == ["regular"]
    assert types("shared=true") == ["regular"] * 2
    assert types("inuse") == []
    assert types("mutable") == ["source.local"]
    assert types("until=1h") == []
    assert len(types("until=0s")) == len(rows(rootless))
    assert types("description=etc/tool", "shared") == ["regular"]
    wrong = rootless("buildx", "du", "--filter", "tipe=regular")
    assert wrong.exit == 1
    assert "invalid filter 'tipe'" in wrong.stderr


def test_prune_takes_what_no_image_needs_and_builds_stay_cached(rootless, project):
    assert cached(rootless, project) == 3
    before = rows(rootless)
    asked = rootless("builder", "prune", stdin="n\n")
    assert "WARNING! This will remove all dangling build cache." in asked.stdout
    assert len(rows(rootless)) == len(before)
    table, total = rootless.ok("builder", "prune", "-f").rsplit("Total:\t", 1)
    assert len(table.splitlines()) == 3, "a header, the context and the stage that is in no image"
    assert total[0] == "5"
    assert total.endswith("kB\n")
    left = {row["ID"] for row in rows(rootless)}
    gone = [row for row in before if row["ID"] not in left]
    assert sorted(row["Type"] for row in gone) == ["regular", "source.local"]
    assert rootless.ok("builder", "prune", "-f") == "Total:\t0B\n"
    assert cached(rootless, project) == 3, "what was copied from that stage is known"
    assert "all build cache" in rootless("builder", "prune", "-a", stdin="n\n").stdout
    rootless.ok("builder", "prune", "-af")
    assert rows(rootless) == []
    cache = rootless.root / "cache"
    assert [one for folder in cache.iterdir() for one in folder.iterdir()] == [], "nor trails"
    assert rootless.ok("images", "-q", "made")
    assert cached(rootless, project) == 0


def test_a_prune_within_limits(rootless, project):
    everything = [row["ID"] for row in rows(rootless)]
    flags = ("builder", "prune", "-af")
    assert rootless.ok(*flags, "--max-used-space", "1GB") == "Total:\t0B\n"
    assert rootless.ok(*flags, "--keep-storage", "10mb") == "Total:\t0B\n"
    assert [row["ID"] for row in rows(rootless)] == everything
    (tool,) = [
        row["ID"] for row in rows(rootless, "--filter", "private", "--filter", "type=regular")
    ]
    (record,) = (rootless.root / "cache" / "steps").glob(f"{tool}*")
    os.utime(record, (1.5e9, 1.5e9))
    rootless.ok(*flags, "--max-used-space", "5kb")
    assert [row["ID"] for row in rows(rootless)] == [one for one in everything if one != tool]
    rootless.ok(*flags, "--reserved-space", "1b")
    assert rows(rootless) == []
    for size in ("1zz", "", "1e5", "-1", "nan", "9" * 400):
        wrong = rootless(*flags, f"--max-used-space={size}")
        assert (wrong.exit, "invalid size" in wrong.stderr) == (1, True), size


def test_what_was_of_use_today_is_not_old(rootless, project):
    """A record tells when a build last found it, not when it was written."""
    long_ago = time.time() - 90 * 86_400
    for path in (rootless.root / "cache").rglob("*.json"):
        os.utime(path, (long_ago, long_ago))
    old = ("--filter", "until=48h", "--filter", "type=regular")
    assert len(rows(rootless, *old)) == 3
    assert cached(rootless, project) == 3
    (unread,) = rows(rootless, *old)
    assert unread["Description"].startswith("RUN head"), "of a stage that nobody had to look at"
    rootless.ok("buildx", "prune", "-af", "--filter", "until=48h")
    assert len(rows(rootless, "--filter", "type=regular")) == 2
    assert cached(rootless, project) == 3
    rootless.ok("system", "prune", "-f", "--filter", "until=48h")
    assert cached(rootless, project) == 3


def test_system_prune_keeps_what_images_need_unless_told(rootless, project):
    private = ("--filter", "type=regular", "--filter", "private")
    rootless.ok("system", "prune", "-f", "--filter", "label=nobody-has-this")
    assert len(rows(rootless, *private)) == 1
    rootless.ok("system", "prune", "-f")
    assert rows(rootless, *private) == []
    assert cached(rootless, project) == 3
    assert '"Type":"Build Cache"' in rootless.ok("system", "df", "--format", "json")


def test_cache_mounts_are_listed_and_pruned_but_not_under_a_build(rootless, project):
    folder = rootless.root / "cache" / "mounts" / "0123"
    (folder / "data").mkdir(parents=True)
    (folder / "data" / "wheel").write_bytes(b"x" * 7000)
    (folder / "mount.json").write_text(json.dumps({"id": "/root/.cache/pip", "created": 1.5e9}))
    (row,) = rows(rootless, "--filter", "type=exec.cachemount")
    assert row["Description"] == "cached mount /root/.cache/pip"
    assert (row["Size"], row["Reclaimable"]) == (
        words.size(7000 + (folder / "mount.json").stat().st_size, 4),
        True,
    )
    fd = os.open(folder, os.O_RDONLY)
    fcntl.flock(fd, fcntl.LOCK_SH)
    try:
        assert [row["Reclaimable"] for row in rows(rootless, "--filter", "inuse")] == [False]
        rootless.ok("builder", "prune", "-af")
        assert (folder / "data" / "wheel").exists()
        assert '"Active":"1"' in rootless.ok("system", "df", "--format", "json")
    finally:
        os.close(fd)
    rootless.ok("builder", "prune", "-f", "--filter", "type=exec.cachemount")
    assert not folder.exists()


def test_an_empty_store_is_not_made_by_looking(rootless):
    table = rootless.ok("buildx", "du").splitlines()
    assert [line.split(":")[0] for line in table[1:]] == ["Reclaimable", "Total"]
    assert "rootless*" in rootless.ok("buildx", "ls")
    assert "Platforms:" in rootless.ok("buildx", "inspect", "--bootstrap")
    assert not rootless.root.exists()
    assert rootless.ok("buildx", "prune", "-f") == "Total:\t0B\n"


def test_the_one_builder_has_as_many_names_as_a_script_wants(rootless, project):
    """What docker/setup-buildx-action and python-on-whales do, one after the other."""
    assert re.search(r"\sv?([0-9a-f]{7}|[0-9.]+)", rootless.ok("buildx", "version"))
    create = ("buildx", "create", "--name", "builder-1f", "--driver", "docker-container")
    flags = ("--driver-opt", "network=host", "--buildkitd-flags", "--debug", "--use")
    assert rootless.ok(*create, *flags) == "builder-1f\n"
    shown = rootless.ok("buildx", "inspect", "--bootstrap", "--builder", "builder-1f")
    told = dict(line.split(":", 1) for line in shown.splitlines()[:3])
    assert (told["Name"].strip(), told["Driver"].strip()) == ("builder-1f", "docker")
    assert re.fullmatch(r" \d{4}-\d\d-\d\d \d\d:\d\d:\d\d \+0000 UTC", told["Last Activity"])
    assert re.search(r"^Platforms: +linux/\w+", shown, re.MULTILINE)
    assert rootless.ok("buildx", "inspect") == shown
    said = rootless.ok("buildx", "ls", "--format", "{{json . }}")
    assert said == rootless.ok("buildx", "ls", "--format=json")
    listed = [json.loads(line) for line in said.splitlines()]
    assert all(datetime.fromisoformat(one["LastActivity"]) for one in listed)
    assert {one["Name"]: one["Current"] for one in listed} == {
        "rootless": False,
        "builder-1f": True,
    }
    assert rootless.ok("buildx", "build", "--builder", "builder-1f", "-q", project)
    assert rootless("buildx", "rm", "builder-1f").stderr == "builder-1f removed\n"
    assert rootless.ok("buildx", "ls", "--format", "{{.Name}}") == "rootless\nrootless\n"
    assert rootless.ok("buildx", "ls").splitlines()[1].startswith("rootless* ")
    gone = rootless("build", "--builder", "builder-1f", project)
    assert gone.exit == 1
    assert 'no builder "builder-1f" found' in gone.stderr
    for name in ("default", "rootless"):
        assert rootless.ok("build", "--builder", name, "-q", project)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (("create", "--driver", "kubernetes"), "there is no driver 'kubernetes' here"),
        (("create", "--name", "../x"), "invalid builder name"),
        (("create", "--name", "x" * 200), "invalid builder name"),
        (("create", "--name", ".current"), "invalid builder name"),
        (("create", "--name", "rootless"), 'existing instance for "rootless"'),
        (("use", "mien"), 'no builder "mien" found'),
        (("rm", "mien"), "failed to remove one or more builders"),
        (("rm", "rootless"), "it is the builder itself"),
        (("inspect", "mien"), 'no builder "mien" found'),
        (("du", "--builder", "mien"), 'no builder "mien" found'),
        (("prune", "-f", "--builder", "mien"), 'no builder "mien" found'),
    ],
)
def test_what_is_no_builder(rootless, line, said):
    result = rootless("buildx", *line)
    assert result.exit == 1
    assert said in result.stderr


def test_two_that_create_at_once_get_one_name_each(rootless):
    assert rootless.ok("buildx", "create") != rootless.ok("buildx", "create")
    rootless.ok("buildx", "create", "--name", "a")
    assert rootless("buildx", "create", "--name", "a").exit == 1
