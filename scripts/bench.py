"""Measures rootless beside podman, buildah and docker; started by scripts/bench.

Every tool does the same work on the same machine in turn (A B C A B C …), as an ordinary user, with
stores and folders made for this run and a registry of its own on loopback. Prints medians, the
ratio to the best peer and to the peer that the budget names, and the peak memory of any process.
`plain` is rootless itself as root of a container that may mount nothing (tests/support/plain.py).

Peers are what is on PATH. ROOTLESS_BENCH_PEERS is a command to put before each of theirs when they
live in another root file system, ROOTLESS_BENCH_DOCKER (…_PODMAN, …_BUILDAH) one for this peer
alone; python3 must be there. It must enter the same mounts each time: with a new /run podman takes
the machine to have been started anew, and needs twice its time. Started by root for that, rootless
itself and peers without a prefix run as $ROOTLESS_USER, else as the user who typed sudo. TMPDIR
chooses the file system, which matters: tmpfs, or a disk without a journal, gives other numbers.
"""

from __future__ import annotations

import argparse
import compileall
import gzip
import io
import json
import os
import shlex
import shutil
import statistics
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import NamedTuple

PROJECT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(PROJECT))

from tests.support import images, machine, plain  # noqa: E402  the project, from a checkout
from tests.support.registry import Registry  # noqa: E402

# Runs one command where the tool lives; says seconds, peak KiB, exit code and the end of its words.
TIMER = """
import json, resource, subprocess, sys, time
argv, stdin = json.loads(sys.argv[1])
start = time.perf_counter()
pipe, both = subprocess.PIPE, subprocess.STDOUT
answer = subprocess.run(argv, input=stdin.encode(), stdout=pipe, stderr=both)
seconds = time.perf_counter() - start
memory = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
said = answer.stdout.decode(errors="replace")[-800:]
print(json.dumps([seconds, memory, answer.returncode, said]))
"""
BUILD20 = "FROM {image}\n" + "".join(f"RUN echo {number} > /f{number}\n" for number in range(20))
NEW100 = """\
FROM {image}
RUN for i in $(seq 40); do cat /bin/busybox; head -c 500000 /dev/urandom; done > /new
"""
STEPS30 = """\
FROM {image} AS tree
RUN for i in $(seq 13000); do mkdir -p /tree/$((i / 100))/$i; cd /tree/$((i / 100))/$i; touch \
a b c d e f g h i j k l m n o p q r s; done
FROM tree AS steps
""" + "".join(f"RUN echo {number} > /f{number}\n" for number in range(30))
MEMORY_MIB = 64


class Task(NamedTuple):
    """A row of the table: what is measured, and the share of which peer's time it may take."""

    name: str
    rounds: int
    peer: str
    budget: float
    image: str = "busybox"
    stdin: str = ""
    before: str | None = None  # done before every round, and not measured
    own: str = "rootless"
    seconds: float = 0  # all that it may take, where no share is asked for


TASKS = (
    Task("run", 20, "podman", 0.25),
    Task("runnet", 20, "podman", 0.35),
    Task("exec", 20, "podman", 0.30),
    Task("build20", 3, "docker", 0.15, stdin=BUILD20),
    Task("build20-cached", 10, "podman", 0.15, stdin=BUILD20),
    Task("push", 3, "podman", 0.50, stdin=NEW100, before="change"),
    Task("push-again", 10, "podman", 0.50),
    Task("pull", 3, "podman", 0.30, image="big", before="forget"),
    # as root of a plain container, on a tree of 260,000 files
    Task("steps30", 1, "", 0, stdin=STEPS30, before="tree", own="plain", seconds=30 * 1.5),
)

_INSTALLED = Path(sys.executable).with_name("rootless")
COMMAND = str(_INSTALLED) if _INSTALLED.exists() else f"{sys.executable} -m rootless"
ROOTLESS = COMMAND + " --root {work}/store"
PODMAN = "podman --root {work}/store --runroot {work}/run"
BUILDAH = "buildah --root {work}/store --runroot {work}/run"
_TREE = {
    "tree": ROOTLESS + " build -q --target tree -f - {work}/empty",
    "steps30": ROOTLESS + " build --no-cache-filter steps -t s30 -f - {work}/empty",
}
COMMANDS = {
    "plain": {"prepare": ROOTLESS + " pull --tls-verify=false {image}", **_TREE},
    "rootless": {
        **_TREE,
        "prepare": ROOTLESS + " pull --tls-verify=false {image}",
        "run": ROOTLESS + " run --rm --network none {image} true",
        "hold": ROOTLESS + " run -d --name held --network none {image} sleep 100000",
        "exec": ROOTLESS + " exec held true",
        "release": ROOTLESS + " rm -f held",
        "runnet": ROOTLESS + " run --rm {image} true",
        "build20": ROOTLESS + " build --no-cache -t b20 -f - {work}/empty",
        "build20-cached": ROOTLESS + " build -t b20 -f - {work}/empty",
        "change": ROOTLESS + " build --no-cache -t {image}-rootless -f - {work}/empty",
        "push": ROOTLESS + " push -q --tls-verify=false {image}-rootless",
        "push-again": ROOTLESS + " push -q --tls-verify=false {image}-rootless",
        "pull": ROOTLESS + " pull -q --tls-verify=false {image}",
        "forget": "unshare --map-root-user --map-auto rm -rf {work}/store",
    },
    "podman": {
        "prepare": PODMAN + " pull -q --tls-verify=false {image}",
        "run": PODMAN + " run --rm --network none {image} true",
        "hold": PODMAN + " run -d --name held --network none {image} sleep 100000",
        "exec": PODMAN + " exec held true",
        "release": PODMAN + " rm -f -t 0 held",
        "runnet": PODMAN + " run --rm {image} true",
        "build20": PODMAN + " build --network host --no-cache -t b20 -f - {work}/empty",
        "build20-cached": PODMAN + " build --network host -t b20 -f - {work}/empty",
        "change": PODMAN + " build --network host --no-cache -t {image}-podman -f - {work}/empty",
        "push": PODMAN + " push -q --tls-verify=false {image}-podman",
        "push-again": PODMAN + " push -q --tls-verify=false {image}-podman",
        "pull": PODMAN + " pull -q --tls-verify=false {image}",
        "forget": "unshare --map-root-user --map-auto rm -rf {work}/store {work}/run",
    },
    "buildah": {
        "prepare": BUILDAH + " pull -q --tls-verify=false {image}",
        "build20": BUILDAH + " build --layers --network host --no-cache -t b20 -f - {work}/empty",
        "build20-cached": BUILDAH + " build --layers --network host -t b20 -f - {work}/empty",
        "change": BUILDAH
        + " build --layers --network host --no-cache -t {image}-buildah -f - {work}/empty",
        "push": BUILDAH + " push -q --tls-verify=false {image}-buildah",
        "push-again": BUILDAH + " push -q --tls-verify=false {image}-buildah",
        "pull": BUILDAH + " pull -q --tls-verify=false {image}",
        "forget": "unshare --map-root-user --map-auto rm -rf {work}/store {work}/run",
    },
    "docker": {
        "prepare": "docker pull -q {image}",
        "run": "docker run --rm --network none {image} true",
        "hold": "docker run -d --name held --network none {image} sleep 100000",
        "exec": "docker exec held true",
        "release": "docker rm -f held",
        "runnet": "docker run --rm {image} true",
        "build20": "docker build --network host --no-cache -t b20 -f - {work}/empty",
        "build20-cached": "docker build --network host -t b20 -f - {work}/empty",
        "change": "docker build --network host --no-cache -t {image}-docker -f - {work}/empty",
        "push": "docker push -q {image}-docker",
        "push-again": "docker push -q {image}-docker",
    },
}
PROBES = {
    "plain": COMMAND + " --version",
    "rootless": COMMAND + " --version",
    "podman": "podman --version",
    "buildah": "buildah --version",
    "docker": "docker version --format {{.Server.Version}}",
}


class Measure(NamedTuple):
    seconds: float
    mib: float


class ToolError(Exception):
    """A tool could not do what it was asked."""


class Tool:
    """One tool: how its commands are started, and its own empty folder."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.prefix = _prefix(name)
        self.version = self._run([*shlex.split(PROBES[name])])[1].strip()
        self.work = self._run(["mktemp", "-d", "-t", f"bench-{name}.XXXXXX"])[1].strip()
        self._run(["mkdir", f"{self.work}/empty"])

    def do(self, what: str, image: str, stdin: str = "") -> Measure:
        """Run the command that this tool has for `what`, if any."""
        if not self.command(what):
            return Measure(0, 0)
        words = [
            part.format(work=self.work, image=image) for part in shlex.split(self.command(what))
        ]
        return self._run(words, stdin.format(image=image))[0]

    def command(self, what: str) -> str:
        return COMMANDS[self.name].get(what, "")

    def clean(self) -> None:
        there = () if self.name == "plain" else ("unshare", "--map-root-user", "--map-auto")
        self._run([*there, "rm", "-rf", self.work])

    def _run(self, argv: list[str], stdin: str = "") -> tuple[Measure, str]:
        order = [*self.prefix, "python3", "-c", TIMER, json.dumps([argv, stdin])]
        answer = subprocess.run(order, capture_output=True, text=True, check=False)
        if answer.returncode != 0:
            raise ToolError(f"{self.name}: {answer.stderr.strip()[-800:]}")
        seconds, kib, code, said = json.loads(answer.stdout)
        if code != 0:
            raise ToolError(f"{self.name}: {shlex.join(argv)} ended with {code}:\n{said}")
        return Measure(seconds, kib / 1024), said


def _prefix(name: str) -> list[str]:
    """What comes before the commands of a tool: become an ordinary user, or enter its root."""
    if name == "plain":
        return [*_prefix("rootless"), *plain.prefix()]
    shared = "" if name == "rootless" else os.environ.get("ROOTLESS_BENCH_PEERS", "")
    if own := os.environ.get(f"ROOTLESS_BENCH_{name.upper()}", shared):
        return shlex.split(own)
    keep = ["env", f"PYTHONPATH={PROJECT}", f"PATH={os.environ['PATH']}"]
    if os.geteuid() != 0:
        return keep
    user = os.environ.get("ROOTLESS_USER") or os.environ.get("SUDO_USER") or "rootless"
    return ["runuser", "-u", user, "--", *keep]


def find_tools() -> list[Tool]:
    """rootless, and the peers that answer; says which do not."""
    tools = []
    for name in COMMANDS:
        try:
            tools.append(Tool(name))
        except ToolError as failure:
            if name == "rootless":
                raise
            print(f"without {name}: {str(failure).splitlines()[0][:90]}")
    return tools


def big_layer(size: int = 170 << 20) -> bytes:
    """A layer tar of this machine's own /usr files, as varied as a real image's."""
    buffer, total = io.BytesIO(), 0
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for path in sorted(Path("/usr").rglob("*")):
            if path.is_symlink() or not path.is_file() or path.stat().st_size > 4 << 20:
                continue
            tar.add(path, str(path).lstrip("/"), recursive=False)
            if (total := total + path.stat().st_size) > size:
                break
    return buffer.getvalue()


def measure(task: Task, tools: list[Tool], image: str, rounds: int) -> dict[str, list[Measure]]:
    """Every tool in turn, `rounds` times; a tool that fails is left out and said so."""
    found: dict[str, list[Measure]] = {tool.name: [] for tool in tools if tool.command(task.name)}
    for _ in range(rounds):
        for tool in tools:
            if tool.name not in found:
                continue
            try:
                if task.before:
                    tool.do(task.before, image, task.stdin)
                found[tool.name].append(tool.do(task.name, image, task.stdin))
            except ToolError as failure:
                print(f"{task.name}: {failure}")
                del found[tool.name]
    return found


def prepared(tools: list[Tool], image: str) -> list[Tool]:
    """The tools that the small image could be brought to; it fills their build caches."""
    ready = []
    for tool in tools:
        try:
            tool.do("prepare", image)
            tool.do("hold", image)
            if tool.name != "plain":
                tool.do("build20-cached", image, BUILD20)
            ready.append(tool)
        except ToolError as failure:
            if tool.name == "rootless":
                raise
            print(f"without {failure}")
    return ready


def row(task: Task, found: dict[str, list[Measure]], tools: list[Tool]) -> str:
    """One line of the table."""
    medians = {
        name: statistics.median(one.seconds for one in measures)
        for name, measures in found.items()
        if measures
    }
    cells = [
        f"{medians[tool.name] * 1e3:9.1f}" if tool.name in medians else f"{'-':>9}"
        for tool in tools
    ]
    own = medians.pop(task.own, None)
    if own is not None and task.seconds:
        verdict = "kept" if own <= task.seconds else "OVER"
        return f"{task.name:15}{''.join(cells)}   budget {task.seconds * 1e3:.0f} ms {verdict}"
    if own is None or not medians:
        return f"{task.name:15}" + "".join(cells)
    best = min(medians, key=lambda name: medians[name])
    against = task.peer if task.peer in medians else best
    ratio = own / medians[against]
    verdict = "kept" if ratio <= task.budget else "OVER"
    note = "" if against == task.peer else f"  (budget is against {task.peer})"
    return (
        f"{task.name:15}{''.join(cells)}   {own / medians[best]:5.2f} x {best:8}"
        f"{ratio:5.2f} x {against:8} budget {task.budget:.2f} {verdict}{note}"
    )


def peak_row(peaks: dict[str, float], tools: list[Tool]) -> str:
    cells = [f"{peaks[tool.name]:9.1f}" for tool in tools]
    verdict = "kept" if peaks["rootless"] <= MEMORY_MIB else "OVER"
    return f"{'memory MiB':15}{''.join(cells)}   budget {MEMORY_MIB} MiB {verdict}"


def bench(tasks: list[Task], rounds: int | None, registry: Registry, folder: Path) -> None:
    """Measure every task and print the table, a line at a time."""
    tools = find_tools()
    small = registry.push(images.busybox(folder / "busybox"), "busybox:1")
    where = {"busybox": small}
    if any(task.image == "big" for task in tasks):
        layers = [big_layer()]
        packed = len(gzip.compress(layers[0], 6))
        print(f"pull: {len(layers[0]) >> 20} MiB of tar, {packed >> 20} MiB of gzip")
        where["big"] = registry.push(images.write_layout(folder / "big", "big:1", layers), "big:1")
    try:
        measure_all(tasks, rounds, prepared(tools, small), where)
    finally:
        for tool in tools:
            tool.do("release", small)
            tool.clean()


def measure_all(
    tasks: list[Task], rounds: int | None, tools: list[Tool], where: dict[str, str]
) -> None:
    """The table, a line at a time; `where` has the reference of each image."""
    for tool in tools:
        print(f"{tool.name:10}{tool.version.splitlines()[0]}")
    heads = "".join(f"{tool.name:>9}" for tool in tools)
    print(f"\n{'milliseconds':15}{heads}   to the best peer, and to the budget's")
    peaks = dict.fromkeys((tool.name for tool in tools), 0.0)
    for task in tasks:
        found = measure(task, tools, where[task.image], rounds or task.rounds)
        for name, measures in found.items():
            peaks[name] = max([peaks[name], *(one.mib for one in measures)])
        print(row(task, found, tools), flush=True)
    print(peak_row(peaks, tools))


def main() -> None:
    names = [task.name for task in TASKS]
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, help="how often each tool does each task")
    parser.add_argument("tasks", nargs="*", metavar="TASK", help=", ".join(names))
    given = parser.parse_args()
    if unknown := set(given.tasks) - set(names):
        parser.error(f"no such task: {', '.join(unknown)} (there are {', '.join(names)})")
    if why := machine.missing("registry") or machine.missing("busybox"):
        sys.exit(f"error: {why}\n\nhint: scripts/setup --dev")
    folder = Path(tempfile.mkdtemp(prefix="bench-"))
    compileall.compile_dir(PROJECT / "rootless", quiet=2)  # as pip does when it installs
    try:
        with Registry(folder / "registry") as registry:
            chosen = [task for task in TASKS if not given.tasks or task.name in given.tasks]
            bench(chosen, given.rounds, registry, folder)
    except ToolError as failure:
        sys.exit(f"error: {failure}")
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
