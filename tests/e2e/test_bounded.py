"""Work that is bounded by its input: nothing hangs, and twice as much takes twice as long.

Counted, not timed: processes, reads and lines of code. What a command is given to end in is a
hundred times what it needs.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from rootless.oci.platform import Platform
from tests.support import evil_tars, flattened
from tests.support.hostile_registry import Answer, HostileRegistry, serving
from tests.support.images import layer, write_layout

pytestmark = pytest.mark.needs("userns", "overlay")

PATIENCE = 60
# A user's newuidmap is not set-uid under strace: the tests are root of a namespace already.
STRACE = ("unshare", "--map-root-user", "strace", "-f", "-qq")


def digest(content):
    return "sha256:" + hashlib.sha256(content).hexdigest()


def archive(path, layers, *, images=1):
    """A docker archive of images that share the layers, (bytes of the member, tar) each."""
    named = [(f"{number}/layer.tar", member) for number, (member, _) in enumerate(layers)]
    configs = [
        json.dumps(
            {
                "architecture": Platform.host().architecture,
                "os": "linux",
                "config": {"Labels": {"number": str(number)}},
                "rootfs": {"type": "layers", "diff_ids": [digest(tar) for _, tar in layers]},
            }
        ).encode()
        for number in range(images)
    ]
    listed = [
        {
            "Config": f"{number}.json",
            "RepoTags": [f"made:{number}"],
            "Layers": [name for name, _ in named],
        }
        for number in range(images)
    ]
    named += [(f"{number}.json", config) for number, config in enumerate(configs)]
    with tarfile.open(path, "w") as tar:
        for name, content in [*named, ("manifest.json", json.dumps(listed).encode())]:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


def saved(rootless, tmp_path, name):
    """The files of an image."""
    rootless.ok("save", "-o", tmp_path / "saved.tar", name, timeout=PATIENCE)
    return flattened.read(tmp_path / "saved.tar")[0]


# --- archives ------------------------------------------------------------------------------------

FILE = evil_tars.file(b"f", b"content")
ENDS = {"empty": b"", "no end blocks": FILE, "half an end": FILE + bytes(512)}


@pytest.mark.parametrize("packed", [bytes, gzip.compress], ids=["plain", "gzip"])
@pytest.mark.parametrize("end", ENDS)
def test_a_layer_that_ends_early_is_loaded(rootless, tmp_path, end, packed):
    """Alone, and between others, for the reader ahead of them is asked again after an end."""
    others = [(layer({name: name.encode()}),) * 2 for name in ("a", "b")]
    odd = (packed(ENDS[end]), ENDS[end])
    for layers in ([odd], [others[0], odd, others[1]]):
        made = archive(tmp_path / "made.tar", layers)
        rootless.ok("load", "-i", made, timeout=PATIENCE)
        rootless.ok("build", "-t", "all", "-", stdin="FROM scratch\nCOPY --from=made:0 / /\n")
        files = saved(rootless, tmp_path, "all")
        assert ("f" in files) == (end != "empty")
        assert ("b" in files) == (len(layers) == 3)


def test_a_layer_of_thousands_of_gzip_members(rootless, tmp_path):
    tar = layer({"file": os.urandom(20_000)})
    member = b"".join(gzip.compress(tar[at : at + 3], 0) for at in range(0, len(tar), 3))
    made = archive(tmp_path / "made.tar", [(member, tar)])
    rootless.ok("load", "-i", made, timeout=PATIENCE)
    assert "file" in saved(rootless, tmp_path, "made:0")


def test_headers_before_one_entry_are_bounded(rootless, tmp_path):
    """What one costs must not grow with those before it; a thousand are refused."""
    one = evil_tars.pax_raw(evil_tars.record(b"comment", b"x"))
    for count, said in ((100, ""), (3000, "extended headers are over the limit")):
        tar = one * count + FILE + evil_tars.END
        made = archive(tmp_path / "made.tar", [(gzip.compress(tar), tar)])
        result = rootless("load", "-i", made, timeout=PATIENCE)
        assert (result.exit, said in result.stderr) == (int(bool(said)), True)


MANY = 120


@pytest.mark.needs("strace", "unshare")
@pytest.mark.parametrize("verb", ["load", "pull"])
def test_many_layers_need_few_processes(rootless, tmp_path, verb):
    layers = [layer({f"f{number}": b"%d" % number}) for number in range(MANY)]
    image = write_layout(tmp_path / "layout", "docker.io/library/many:1", layers)
    trace = tmp_path / "trace"
    with HostileRegistry(serving(image, "a/b")) as registry:
        words = {
            "load": ("load", "-i", image.archive(tmp_path / "many.tar")),
            "pull": ("pull", "-q", f"{registry.address}/a/b:1"),
        }[verb]
        calls = "--trace=fork,vfork,clone,clone3"
        traced = (*STRACE, calls, "-o", trace, *rootless.command(*words))
        done = subprocess.run(
            traced, env=rootless.environment, capture_output=True, check=False, timeout=PATIENCE * 2
        )
    assert done.returncode == 0, done.stderr.decode()
    begun = [line for line in trace.read_text().splitlines() if "resumed" not in line]
    assert 0 < sum("CLONE_THREAD" not in line for line in begun) < 16


# --- patterns ------------------------------------------------------------------------------------

STARS = "*a" * 24 + "*b"
NAME = "a" * 80


@pytest.mark.parametrize("where", [".dockerignore", "COPY"])
def test_patterns_of_many_stars(rootless, tmp_path, where):
    context = tmp_path / "context"
    context.mkdir()
    for name in (NAME, f"{NAME}b", "plain"):
        (context / name).write_text("x")
    copied = STARS if where == "COPY" else "."
    (context / "Dockerfile").write_text(f"FROM scratch\nCOPY {copied} /to/\n")
    if where == ".dockerignore":
        (context / ".dockerignore").write_text(f"{STARS}\n")
    rootless.ok("build", "-t", "test", context, timeout=PATIENCE)
    found = {path.removeprefix("to/") for path in saved(rootless, tmp_path, "test")} - {"to"}
    if where == "COPY":
        assert found == {f"{NAME}b"}
    else:
        assert {NAME, "plain"} <= found
        assert f"{NAME}b" not in found


# --- registries ----------------------------------------------------------------------------------

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


def endless(start, again):
    yield start
    while True:
        yield again


@pytest.mark.parametrize(
    ("start", "again"),
    [
        (CHUNKED + b"1\r\n{\r\n-5\r\n", b" " * 9000),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 999),
    ],
    ids=["a negative chunk", "100 Continue"],
)
def test_answers_that_never_end_do(rootless, start, again):
    def respond(request):
        return Answer(200) if request.path == "/v2/" else Answer(raw=endless(start, again))

    with HostileRegistry(respond) as registry:
        refused = rootless("pull", f"{registry.address}/a/b:1", timeout=PATIENCE)
    assert refused.exit == 1
    assert refused.stderr.startswith("error: ")
    assert "Traceback" not in refused.stderr


# --- many images ---------------------------------------------------------------------------------

# Lines of Python that a command runs: as good as time, and the same on every machine.
COUNTED = """
import sys, threading
lines = 0
def local(frame, event, arg):
    global lines
    lines += event == "line"
    return local
sys.settrace(lambda frame, event, arg: local)
from rootless.cli.main import main
try:
    main()
finally:
    sys.settrace(None)
    print(lines, file=open({file!r}, "w"))
"""


def lines_run(rootless, tmp_path, *argv):
    counter = tmp_path / "lines"
    code = COUNTED.format(file=str(counter))
    words = ["--root", str(rootless.root), *argv]
    subprocess.run(
        [sys.executable, "-c", code, *words],
        env=rootless.environment, capture_output=True, check=True, timeout=PATIENCE * 2,
    )  # fmt: skip
    return int(Path(counter).read_text())


def growth(counts):
    """How much more the second doubling costs than the first: 2 when it is linear."""
    few, more, many = counts
    return (many - more) / (more - few)


def test_listing_images_is_linear(rootless, tmp_path):
    counts = []
    for images in (50, 100, 200):
        made = archive(tmp_path / "made.tar", [(layer({"f": b""}),) * 2], images=images)
        rootless.ok("load", "-i", made)
        counts.append(lines_run(rootless, tmp_path, "images"))
    assert growth(counts) < 2.5, counts


def test_removing_many_images_is_linear(rootless, tmp_path):
    counts = []
    for images in (25, 50, 100):
        made = archive(tmp_path / "made.tar", [(layer({"f": b""}),) * 2], images=images)
        rootless.ok("load", "-i", made)
        names = [f"made:{number}" for number in range(images)]
        counts.append(lines_run(rootless, tmp_path, "rmi", *names))
        assert rootless.ok("images", "-q") == ""
    assert growth(counts) < 2.5, counts


# --- builds --------------------------------------------------------------------------------------


def test_what_is_remembered_of_contexts_can_be_pruned(rootless, tmp_path):
    context = tmp_path / "context"
    context.mkdir()
    (context / "Dockerfile").write_text("FROM scratch\nCOPY . /\n")
    os.utime(context / "Dockerfile", (1e9, 1e9))  # what is new is not remembered
    rootless.ok("build", context)
    remembered = rootless.root / "cache" / "contexts"
    assert os.listdir(remembered)
    rootless.ok("system", "prune", "-a", "-f")
    assert os.listdir(remembered) == []


@pytest.mark.needs("busybox", "subids")
def test_no_more_stages_are_built_at_once_than_there_are_processors(
    rootless, busybox_image, tmp_path
):
    rootless.load(busybox_image, tmp_path)
    names = [f"s{number}" for number in range(5)]
    stages = "".join(f"FROM busybox AS {name}\nRUN sleep 0.5; touch /{name}\n" for name in names)
    copies = "".join(f"COPY --from={name} /{name} /\n" for name in names)
    alone = {min(os.sched_getaffinity(0))}
    result = rootless(
        *("build", "--progress=plain", "-"),
        stdin=f"{stages}FROM scratch\n{copies}",
        preexec_fn=lambda: os.sched_setaffinity(0, alone),
    )
    assert result.exit == 0, result.stderr
    steps = [line for line in result.stderr.splitlines() if "RUN sleep" in line or " DONE" in line]
    working, most = set(), 0
    for line in steps:
        number = line.split()[0]
        working.discard(number) if " DONE" in line else working.add(number)
        most = max(most, len(working))
    assert most == 1, result.stderr
