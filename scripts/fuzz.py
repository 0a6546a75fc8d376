"""Docker as the judge of random Dockerfiles; started by scripts/fuzz.

Every case of scripts/fuzz_grammar.py (with --wider: fuzz_wider.py, with --flags: fuzz_flags.py) is
built by docker once, and by rootless in several ways: as it stands, without the cache, from the
cache, and while the same build, a prune and the removal of its image run beside it. Each time the
image must hold the same files and the same configuration; what docker refuses must be refused. A
difference is shrunk to the smallest Dockerfile that shows it. Where there is one, docker is asked
again: a case to which it gives two answers is undecided, which is told and counted, and is no pass.
Exit code 1 when there was a difference.

Docker is what DOCKER_HOST or the usual socket gives. ROOTLESS_FUZZ_DOCKER is a command to put
before the judge's, for a docker that lives in another root file system or must be started first;
python3 must be there. Started by root for that, rootless runs as $ROOTLESS_USER, else as the user
who typed sudo. ROOTLESS_FUZZ_LABS is an image of the Dockerfile frontend's labs, for --flags: COPY
--parents is only there in Docker 28. Docker's answers are kept in ~/.cache/rootless/fuzz, and not
asked for again.
A docker whose images are in containerd's store is the better judge: it knows COPY --link, and
saves the layers as BuildKit made them.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import io
import itertools
import json
import os
import pwd
import re
import shlex
import subprocess
import sys
import tarfile
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(PROJECT))

import fuzz_flags  # noqa: E402  beside this file
import fuzz_grammar  # noqa: E402
import fuzz_wider  # noqa: E402

from tests.conftest import Rootless  # noqa: E402  the project, from a checkout
from tests.support import child, judged, trees, verdicts  # noqa: E402
from tests.support.judged import Case  # noqa: E402
from tests.support.trees import Image  # noqa: E402
from tests.support.verdicts import WAYS, Builder  # noqa: E402

# Runs where docker is. Takes a line of JSON and a tar of the context, gives one and a saved image.
JUDGE = """
import concurrent.futures, io, json, os, subprocess, sys, tarfile, tempfile, threading
lock = threading.Lock()
def docker(*argv, **options):
    null, pipe, both = subprocess.DEVNULL, subprocess.PIPE, subprocess.STDOUT
    answer = subprocess.run(
        ["docker", *argv], stdin=null, stdout=pipe, stderr=both, timeout=300, **options
    )
    return answer.returncode, answer.stdout.decode(errors="replace")
def load(order, content):
    with tempfile.NamedTemporaryFile() as file:
        file.write(content)
        file.flush()
        code, said = docker("load", "-i", file.name)
    return (code, said, b"") if code else (*docker("info", "-f", "{{.Driver}}"), b"")
def build(order, content):
    with tempfile.TemporaryDirectory() as folder:
        name = "judged-case-%d-%d" % (os.getpid(), order["number"])
        context = folder + "/" + name  # contexts of one name share what they sent before
        with tarfile.open(fileobj=io.BytesIO(content)) as tar:
            tar.extractall(context, filter="fully_trusted")
        flags = ["--no-cache", "--network=none", "--progress=plain", *order["flags"]]
        code, said = docker("build", *flags, "-t", name, context, cwd=context)
        if code:
            return code, said, b""
        code, said = docker("save", "-o", folder + "/saved", name)
        docker("rmi", "-f", name)
        if code:  # it has images that it cannot save: those without a layer
            return code, "judge: " + said, b""
        with open(folder + "/saved", "rb") as file:
            return 0, said, file.read()
def answer(order, content):
    try:
        code, said, image = (build if "flags" in order else load)(order, content)
    except Exception as error:
        code, said, image = 1, "judge: %r" % error, b""
    with lock:
        head = {"number": order["number"], "code": code, "said": said[-3000:], "size": len(image)}
        sys.stdout.buffer.write(json.dumps(head).encode() + b"\\n" + image)
        sys.stdout.buffer.flush()
with concurrent.futures.ThreadPoolExecutor(2) as pool:
    while line := sys.stdin.buffer.readline():
        order = json.loads(line)
        pool.submit(answer, order, sys.stdin.buffer.read(order["size"]))
docker("builder", "prune", "-af")
"""
TRIES = 150  # of the shrinker, for one difference


class UnansweredError(Exception):
    """Docker has no verdict on a case."""


class UndecidedError(Exception):
    """Docker has two verdicts on a case."""


class Judge:
    """Docker; its answers are kept on disk."""

    def __init__(self, base: Path, key: str) -> None:
        prefix = shlex.split(os.environ.get("ROOTLESS_FUZZ_DOCKER", ""))
        self._argv = [*prefix, "python3", "-c", JUDGE]
        self._numbers = itertools.count()
        self._waiting: dict[int, concurrent.futures.Future[tuple[int, str, bytes]]] = {}
        self._lock = threading.Lock()
        self.archive = base
        self._reader = trees.Reader()
        self.base = self._reader.read(base)
        self.asked = 0
        self.refused: set[str] = set()
        self.flags: list[str] = []  # for docker alone
        self._key = key
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(self._argv, stdin=pipe, stdout=pipe)
        threading.Thread(target=self._listen, daemon=True).start()
        code, said, _ = self._ask({}, base.read_bytes())
        if code:
            sys.exit(
                f"error: docker cannot be asked: {said.strip()}\n\nhint: set DOCKER_HOST, or "
                "ROOTLESS_FUZZ_DOCKER to a command that runs its arguments beside a dockerd"
            )
        self._driver = said.split()[-1]
        self.drops_copies = self._driver == "overlayfs"  # of containerd

    def stop(self) -> None:
        """Let docker go, and wait for it."""
        assert self._process.stdin
        self._process.stdin.close()
        self._process.wait()

    def answer(self, case: Case, scratch: Path) -> dict[str, Any]:
        """See tests/support/verdicts.py."""
        answers = Path.home() / ".cache" / "rootless" / "fuzz" / f"{self._key}-{self._driver}"
        kept = answers / case.key
        if kept.exists():
            found: dict[str, Any] = json.loads(kept.read_bytes())
        else:
            found = self.ask(case, scratch)
            kept.parent.mkdir(parents=True, exist_ok=True)
            kept.write_text(json.dumps(found))
        if "refused" in found:
            self.refused.add(case.key)
        return found

    def ask(self, case: Case, scratch: Path) -> dict[str, Any]:
        """`answer`, but for what is kept."""
        with tempfile.TemporaryDirectory(dir=scratch) as name:
            judged.write_context(case, folder := Path(name) / "context")
            code, said, image = self._ask({"flags": [*self.flags, *case.flags]}, _packed(folder))
            if said.startswith("judge:"):
                raise UnansweredError(said.strip())
            if code:
                return {"refused": _last_words(said)}
            (Path(name) / "saved").write_bytes(image)
            with self._lock:
                return verdicts.brief(self._reader.read(Path(name) / "saved"), self.base)

    def _ask(self, order: dict[str, Any], content: bytes) -> tuple[int, str, bytes]:
        future: concurrent.futures.Future[tuple[int, str, bytes]] = concurrent.futures.Future()
        with self._lock:
            number = next(self._numbers)
            self._waiting[number] = future
            head = json.dumps({**order, "number": number, "size": len(content)})
            assert self._process.stdin
            self._process.stdin.write(head.encode() + b"\n" + content)
            self._process.stdin.flush()
            self.asked += 1
        return future.result()

    def _listen(self) -> None:
        assert self._process.stdout
        while line := self._process.stdout.readline():
            try:
                head = json.loads(line)
            except ValueError:  # what a prefix has to say
                continue
            image = self._process.stdout.read(head["size"])
            self._waiting.pop(head["number"]).set_result((head["code"], head["said"], image))
        for future in list(self._waiting.values()):
            future.set_result((1, "judge: it is gone", b""))


def labs() -> list[str]:
    """Flags with which docker has what is in its labs."""
    frontend = os.environ.get("ROOTLESS_FUZZ_LABS")
    if not frontend:
        sys.exit("error: ROOTLESS_FUZZ_LABS must name an image of the Dockerfile frontend's labs")
    return ["--build-arg", f"BUILDKIT_SYNTAX={frontend}"]


def _packed(folder: Path) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        tar.add(folder, ".", filter=_of_root)
    return buffer.getvalue()


def _of_root(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    return member


def _last_words(said: str) -> str:
    """The error, without where docker keeps what."""
    lines = [line for line in said.splitlines() if line.startswith("ERROR:")]
    words = (lines or said.strip().splitlines() or [""])[-1]
    place = r"/\S*/(merged|buildkit-mount\d+|cachemounts/buildkit\d+)(?=/)"
    return re.sub(rf"{place}| of ref \S+(?=:)", "", words)[-300:]


def compare(case: Case, judge: Judge, builder: Builder, ways: tuple[str, ...]) -> list[str]:
    """All differences; a line that names the way stands before those of each.

    UndecidedError where docker, asked again, differs from itself.
    """
    verdict = judge.answer(case, builder.folder)
    found: list[str] = []
    before: list[str] = []
    for way, ours in builder.ways(case, ways):
        lines = verdicts.differences(verdict, ours, judge.base, drops_copies=judge.drops_copies)
        if lines:
            found += [f"{way}:", *(f"  {line}" for line in lines if lines != before)]
        before = lines
    if found and (again := judge.ask(case, builder.folder)) != verdict:
        raise UndecidedError(_contradiction(verdict, again, judge.base))
    return found


def _contradiction(first: dict[str, Any], then: dict[str, Any], base: Image) -> str:
    if "refused" in first or "refused" in then:
        return " / ".join(str(one.get("refused", "built")) for one in (first, then))
    return "; ".join(verdicts.differences(first, verdicts.image_of(then, base), base))


def smaller(case: Case) -> Iterator[Case]:
    """The case with one thing less, the biggest things first."""
    for at in reversed(range(len(case.stages))):
        if len(case.stages) > 1:
            yield case._replace(stages=case.stages[:at] + case.stages[at + 1 :])
    for at, stage in enumerate(case.stages):
        for line in reversed(range(len(stage))):
            for less in _less(stage[line]):
                changed = [*stage[:line], *less, *stage[line + 1 :]]
                yield case._replace(stages=[*case.stages[:at], changed, *case.stages[at + 1 :]])
    for at, entry in enumerate(case.context):
        inner = f"{entry.path}/"
        rest = case.context[:at] + case.context[at + 1 :]
        yield case._replace(context=[one for one in rest if not one.path.startswith(inner)])
        if entry.kind in "tzb":
            for member in range(len(entry.content)):
                content = entry.content[:member] + entry.content[member + 1 :]
                context = list(case.context)
                context[at] = entry._replace(content=content)
                yield case._replace(context=context)


def _less(line: Any) -> Iterator[list[Any]]:
    """Nothing in the place of an instruction; a RUN with one command less; a flag less."""
    yield []
    if isinstance(line, list) and len(line) > 2:
        for at in range(1, len(line)):
            yield [line[:at] + line[at + 1 :]]
    if isinstance(line, str):
        words = line.split(" ")
        for at, word in enumerate(words):
            if word.startswith("--") and "from" not in word:
                yield [" ".join(words[:at] + words[at + 1 :])]


class Shop:
    """Where cases are built: one folder, with stores that are used long."""

    def __init__(self, folder: Path, judge: Judge) -> None:
        self.folder, self.judge = folder, judge
        self._here = threading.local()

    def compare(self, case: Case, ways: tuple[str, ...] = WAYS) -> list[str]:
        """In a store that this thread has used for other cases."""
        if not hasattr(self._here, "builder"):
            self._here.builder = self._builder()[1]
        return compare(case, self.judge, self._here.builder, ways)

    def compare_alone(self, case: Case, ways: tuple[str, ...]) -> list[str]:
        """In a store of its own; nothing for a case that makes no sense."""
        work, builder = self._builder()
        try:
            return compare(case, self.judge, builder, ways)
        except (OSError, KeyError, UnansweredError, UndecidedError):
            return []
        finally:
            child.remove_tree(work)

    def _builder(self) -> tuple[Path, Builder]:
        work = Path(tempfile.mkdtemp(dir=self.folder))
        return work, Builder(Rootless(work / "store"), work, self.judge.archive)


def shrink(case: Case, shop: Shop, ways: tuple[str, ...]) -> tuple[Case, list[str]]:
    """The smallest case found that still differs, and how; no lines when a new store builds it."""
    lines = shop.compare_alone(case, ways)
    tries = TRIES if lines else 0
    candidates = smaller(case)
    while tries > 0 and (candidate := next(candidates, None)):
        tries -= 1
        if candidate.stages and (found := shop.compare_alone(candidate, ways)):
            case, lines, candidates = candidate, found, smaller(candidate)
    return case, lines


def report(case: Case, lines: list[str]) -> None:
    """A section of Markdown: the Dockerfile, its context, and what differs."""
    print(f"## {case.name} ({case.key}) {shlex.join(case.flags)}\n```\n{case.dockerfile}```")
    for entry in case.context:
        print(f"- {entry.path!r} {entry.kind} {entry.mode:o} {str(entry.content)[:300]!r}")
    print("```diff\n" + "\n".join(lines) + "\n```\n", flush=True)


def keep(file: Path, cases: list[Case], judge: Judge, scratch: Path) -> None:
    """Write cases with their answers, for tests/e2e/test_fuzz.py: those of any machine."""
    head = {"base": judged.base_key(), "drops_copies": judge.drops_copies}
    kept = [case for case in cases if not re.search("ARCH|PLATFORM", case.dockerfile)]
    lines: list[dict[str, Any]] = [head]
    lines += [{**case.document(), "answer": judge.answer(case, scratch)} for case in kept]
    file.write_text("".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines))


def try_one(case: Case, shop: Shop, *, quick: bool, whole: bool) -> tuple[Case, list[str]]:
    """A case, shrunk when it differs; UnansweredError, UndecidedError."""
    lines = shop.compare(case, WAYS[:1] if quick else WAYS)
    if not lines or whole:
        return case, lines
    ways = WAYS[: 1 + max(WAYS.index(line[:-1]) for line in lines if line[:-1] in WAYS)]
    ways = WAYS[:1] if any(line[:-1] == WAYS[0] for line in lines) else ways
    small, fewer = shrink(case, shop, ways)
    return small, fewer or [*lines, "(only in a store with other cases, or not every time)"]


def _become_ordinary(scratch: Path) -> None:
    """Root has started the judge; all the rest is an ordinary user's."""
    if os.geteuid() != 0:
        return
    name = os.environ.get("ROOTLESS_USER") or os.environ.get("SUDO_USER") or "rootless"
    user = pwd.getpwnam(name)
    for folder, _, files in os.walk(scratch):
        for path in (folder, *(os.path.join(folder, file) for file in files)):
            os.chown(path, user.pw_uid, user.pw_gid)
    os.initgroups(name, user.pw_gid)
    os.setgid(user.pw_gid)
    os.setuid(user.pw_uid)
    os.environ.update(HOME=user.pw_dir, USER=name)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--cases", type=int, default=100, help="how many [100]")
    parser.add_argument("--seed", type=int, default=1, help="the first case's seed [1]")
    parser.add_argument("--jobs", type=int, default=2, help="cases at the same time [2]")
    parser.add_argument("--quick", action="store_true", help="build each case in one way only")
    parser.add_argument("--whole", action="store_true", help="show cases as they are, not shrunk")
    parser.add_argument("--wider", action="store_true", help="cases of scripts/fuzz_wider.py")
    parser.add_argument("--flags", action="store_true", help="cases of scripts/fuzz_flags.py")
    parser.add_argument("--base", choices=("busybox", "debian"), default="busybox")
    parser.add_argument("--keep", type=Path, metavar="FILE", help="write cases and answers there")
    return parser.parse_args()


def _judge(scratch: Path, base: str) -> Judge:
    """Docker, with the base that was asked for."""
    if base == "debian":
        made = judged.debian(scratch / "base")
        key = made.manifest_digest.removeprefix("sha256:")[:16]
    else:
        made, key = judged.base(scratch / "base"), judged.base_key()
    return Judge(made.archive(scratch / "base.tar"), key)


def main() -> None:
    given = _arguments()
    grammar = fuzz_flags if given.flags else fuzz_wider if given.wider else fuzz_grammar
    cases = [grammar.case(seed) for seed in range(given.seed, given.seed + given.cases)]
    scratch = Path(tempfile.mkdtemp(prefix="fuzz-"))
    judge = _judge(scratch, given.base)
    judge.flags = labs() if given.flags else []
    _become_ordinary(scratch)
    differ = undecided = unanswered = 0
    try:
        shop = Shop(scratch, judge)
        with concurrent.futures.ThreadPoolExecutor(given.jobs) as pool:
            tries = {
                pool.submit(try_one, case, shop, quick=given.quick, whole=given.whole): case.name
                for case in cases
            }
            for done in concurrent.futures.as_completed(tries):
                try:
                    small, lines = done.result()
                except UnansweredError as error:
                    unanswered += 1
                    print(f"{tries[done]}: docker has no answer: {error}", flush=True)
                except UndecidedError as error:
                    undecided += 1
                    print(f"{tries[done]}: docker contradicts itself: {error}", flush=True)
                else:
                    if lines:
                        differ += 1
                        report(small, lines)
        if given.keep:
            keep(given.keep, cases, judge, scratch)
    finally:
        judge.stop()
        child.remove_tree(scratch)
    print(
        f"{given.cases} cases from seed {given.seed}: {differ} differ, {undecided} undecided, "
        f"{unanswered} without an answer; docker refused {len(judge.refused)}, and was asked "
        f"{judge.asked - 1} times"
    )
    sys.exit(1 if differ else 0)


if __name__ == "__main__":
    main()
