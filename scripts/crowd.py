"""A crowd on one store: build, pull, run, rmi, prune, save, load, ps and rm at the same time.

Every round one of several members runs a random command; some are killed with SIGKILL at a random
moment. Beside them a few containers run all the time, and look at their own files again and again.
What every command says must be an answer: the right content, or that something is not there. At the
end nothing may be lost, and nothing may be left:

- the containers beside the crowd saw all their files all the time;
- every image that has a name runs, and can be saved;
- no process of a killed command is left;
- after a prune of everything tmp/, layers/, containers/ and leases/ are empty.

Exit code 1 and what happened, otherwise. The same seed gives every member the same commands, but
they meet differently each time.
"""

from __future__ import annotations

import argparse
import collections
import gzip
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(PROJECT))

from tests.support import child, images, machine  # noqa: E402  the project, from a checkout
from tests.support.registry import Registry  # noqa: E402

PULLED, BUILT, KEEPERS = 3, 6, 3
HANG = 120  # seconds after which a command hangs
LOOK = "n=0; sum=$(cat /files/* | md5sum); while [ $n -lt 100000 ]; do n=$((n+1)); " + (
    '[ "$(cat /files/* 2>&1 | md5sum)" = "$sum" ] || { echo lost; exit 1; }; sleep 0.05; done'
)
SAY = "sleep 0.$((RANDOM % 3)); cat /files/said"
# What a command may say: what it names is not there, or a container needs it.
ANSWERS = ("no such image", "no such container", "is running", "is using")


class Crowd:
    """The store, its members' commands, and what went wrong so far."""

    def __init__(self, folder: Path, registry: Registry, killed: float) -> None:
        self.folder, self.registry, self.killed = folder, registry, killed
        self.root = folder / "store"
        self.faults: list[str] = []
        self.counts: collections.Counter[str] = collections.Counter()
        self.keepers: list[subprocess.Popen[bytes]] = []
        self._environment = {**os.environ, "PYTHONPATH": str(PROJECT)}
        self._seen = threading.Lock()

    # --- commands ------------------------------------------------------------------------------

    def command(self, *argv: str | Path) -> list[str]:
        return [sys.executable, "-m", "rootless", "--root", str(self.root), *map(str, argv)]

    def start(self, *argv: str | Path) -> subprocess.Popen[bytes]:
        pipe = subprocess.PIPE
        return subprocess.Popen(
            self.command(*argv),
            stdin=subprocess.DEVNULL,
            stdout=pipe,
            stderr=pipe,
            env=self._environment,
        )

    def do(self, rng: random.Random, *argv: str | Path, mortal: bool = True) -> str | None:
        """Run a command to its end: what it printed; None when it was killed or refused."""
        process = self.start(*argv)
        if mortal and rng.random() < self.killed:
            threading.Timer(rng.expovariate(4), _kill, [process]).start()
        try:
            out, err = process.communicate(timeout=HANG)
        except subprocess.TimeoutExpired:
            self.fault(argv, "hangs")
            process.kill()
            return None
        said = err.decode(errors="replace")
        self.counts[str(argv[0])] += 1
        if process.returncode == -signal.SIGKILL:
            self.counts["killed"] += 1
            return None
        if process.returncode != 0 or "Traceback" in said:
            known = [
                answer for answer in ANSWERS if answer in said.lower() and "Traceback" not in said
            ]
            if not known:
                self.fault(argv, f"exit code {process.returncode}: {said[-2000:]}")
            self.counts[f"refused ({known[0]})" if known else "refused"] += 1
            return None
        return out.decode(errors="replace")

    def fault(self, argv: tuple[str | Path, ...], what: str) -> None:
        with self._seen:
            self.faults.append(f"{' '.join(map(str, argv))}\n    {what.strip()}")
            print(f"FAULT {self.faults[-1]}", flush=True)

    # --- what members do -----------------------------------------------------------------------

    def member(self, seed: int, rounds: int) -> None:
        rng = random.Random(seed)
        deeds = (
            *((12, self.pull), (22, self.build), (22, self.run), (10, self.remove)),
            *((12, self.prune), (6, self.carry), (6, self.look), (4, self.tag), (6, self.sweep)),
        )
        for _ in range(rounds):
            rng.choices([deed for _, deed in deeds], [weight for weight, _ in deeds])[0](rng)

    def pull(self, rng: random.Random) -> None:
        self.do(rng, "pull", "-q", "--tls-verify=false", self.pulled(rng.randrange(PULLED)))

    def pulled(self, number: int) -> str:
        return f"{self.registry.address}/crowd-{number}:latest"

    def build(self, rng: random.Random) -> None:
        number = rng.randrange(BUILT)
        context = self.folder / f"context-{number}"
        flags = ["--no-cache"] if rng.random() < 0.3 else []
        self.do(rng, "build", "-q", *flags, "--tls-verify=false", "-t", f"built-{number}", context)

    def run(self, rng: random.Random) -> None:
        number = rng.randrange(PULLED)
        name, wanted = self.pulled(number), f"pulled {number}\n"
        if rng.random() < 0.6:
            number = rng.randrange(BUILT)
            name, wanted = f"built-{number}", f"built {number}\n"
        flags = ["--rm"] if rng.random() < 0.7 else []
        argv = ["run", *flags, "--network=none", "--pull=never", name]
        said = self.do(rng, *argv, "sh", "-c", SAY, str(self.root))
        if said is not None and said != wanted:
            self.fault(tuple(argv), f"printed {said!r}, not {wanted!r}")

    def remove(self, rng: random.Random) -> None:
        name = rng.choice(
            [self.pulled(rng.randrange(PULLED)), f"built-{rng.randrange(BUILT)}", "again:1"]
        )
        self.do(rng, "rmi", *(["-f"] if rng.random() < 0.5 else []), name)

    def prune(self, rng: random.Random) -> None:
        self.do(
            rng,
            *rng.choice(
                (("system", "prune", "-f"), ("image", "prune", "-f"), ("system", "prune", "-af"))
            ),
        )

    def carry(self, rng: random.Random) -> None:
        archive = self.folder / f"archive-{rng.randrange(1 << 30)}"
        if self.do(rng, "save", "-o", archive, f"built-{rng.randrange(BUILT)}") is not None:
            self.do(rng, "load", "-q", "-i", archive)
        archive.unlink(missing_ok=True)

    def look(self, rng: random.Random) -> None:
        self.do(rng, *rng.choice((("ps", "-a"), ("images", "-a"), ("ps",), ("images",))))

    def tag(self, rng: random.Random) -> None:
        self.do(rng, "tag", f"built-{rng.randrange(BUILT)}", "again:1")

    def sweep(self, rng: random.Random) -> None:
        listed = self.do(rng, "ps", "-aq")
        if listed:  # a container that runs is refused: only keepers and other members' are there
            self.do(rng, "rm", rng.choice(listed.split()))

    # --- before and after ----------------------------------------------------------------------

    def prepare(self) -> None:
        """Images in the registry, contexts to build, and the containers that run beside all."""
        base = images.busybox(self.folder / "base")
        for number in range(PULLED):
            said = f"pulled {number}\n".encode()
            layers = [base.blob(one) for one in _layers(base)]
            files: dict[str, bytes | str] = {
                "files/": b"",
                "files/said": said,
                "files/more": os.urandom(1 << 20),
            }
            image = images.write_layout(
                self.folder / f"image-{number}",
                f"crowd-{number}:latest",
                [*map(gzip.decompress, layers), images.layer(files)],
            )
            self.registry.push(image, f"crowd-{number}:latest")
        for number in range(BUILT):
            folder = self.folder / f"context-{number}"
            folder.mkdir()
            (folder / "said").write_text(f"built {number}\n")
            (folder / "Dockerfile").write_text(
                f"FROM {self.pulled(number % PULLED)} AS one\n"
                f"RUN rm -r /files && mkdir /files && echo {number % 2} > /files/one\n"
                f"FROM {self.pulled((number + 1) % PULLED)}\nCOPY --from=one /files /files/\n"
                f"RUN sleep 0.2; cat /files/one > /files/two\nCOPY said /files/\n"
                "RUN cat /files/one /files/two /files/said > /files/three\n"
            )
        for number in range(KEEPERS):
            argv = ["run", "--rm", "--network=none", "--tls-verify=false", self.pulled(number)]
            self.keepers.append(self.start(*argv, "sh", "-c", LOOK, str(self.root)))

    def finish(self) -> None:
        """What must hold when nobody works any more."""
        for keeper in self.keepers:
            if keeper.poll() is not None:
                out, err = keeper.communicate()
                self.fault(("a container beside the crowd",), f"ended: {out!r} {err!r}")
            keeper.kill()
            keeper.communicate()
        self._wait_for_the_dead()
        rng = random.Random(0)
        listed = self.do(rng, "images", "--format", "{{.Repository}}:{{.Tag}}", mortal=False) or ""
        named = [name for name in listed.split() if "<none>" not in name]
        for name in named:
            self.do(rng, "save", "-o", "/dev/null", name, mortal=False)
            self.do(rng, "run", "--rm", "--network=none", name, "cat", "/files/said", mortal=False)
        for argv in (("ps", "-a"), ("system", "prune", "-af")):
            if self.do(rng, *argv, mortal=False) is None:
                self.fault(argv, "refused when nobody works")
        for name in ("tmp", "layers", "containers", "leases"):
            left = sorted(os.listdir(self.root / name)) if (self.root / name).exists() else []
            if left:
                self.fault((f"{name}/",), f"is not empty after a prune: {left[:5]}")
        print(f"{len(named)} images with a name ran and were saved at the end")

    def _wait_for_the_dead(self) -> None:
        """A killed command's processes end with it; the kernel may take a moment."""
        until = time.monotonic() + 10
        while (left := _processes(str(self.root))) and time.monotonic() < until:
            time.sleep(0.1)
        for pid, line in left.items():
            self.fault(("a process",), f"is left: {pid} {line}")


def _layers(image: images.BaseImage) -> list[str]:
    manifest = json.loads(image.blob(image.manifest_digest))
    return [layer["digest"] for layer in manifest["layers"]]


def _kill(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.kill()


def _processes(word: str) -> dict[int, str]:
    """Processes whose command line has `word`: commands, and containers, who are told it."""
    found = {}
    for entry in os.listdir("/proc"):
        if entry.isdecimal() and int(entry) != os.getpid():
            try:
                line = Path(f"/proc/{entry}/cmdline").read_bytes().replace(b"\0", b" ").decode()
            except (OSError, ValueError):
                continue
            if word in line:
                found[int(entry)] = line
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=200, help="commands in all [200]")
    parser.add_argument("--members", type=int, default=4, help="commands at the same time [4]")
    parser.add_argument("--seed", type=int, default=1, help="what is done, and by whom [1]")
    parser.add_argument("--killed", type=float, default=0.2, help="share that is killed [0.2]")
    given = parser.parse_args()
    if why := machine.missing("registry") or machine.missing("busybox"):
        sys.exit(f"error: {why}\n\nhint: scripts/setup --dev")
    folder = Path(tempfile.mkdtemp(prefix="crowd-"))
    try:
        with Registry(folder / "registry") as registry:
            crowd = Crowd(folder, registry, given.killed)
            crowd.prepare()
            share = -(-given.rounds // given.members)
            members = [
                threading.Thread(target=crowd.member, args=(given.seed * 1000 + number, share))
                for number in range(given.members)
            ]
            for member in members:
                member.start()
            for member in members:
                member.join()
            crowd.finish()
    finally:
        child.remove_tree(folder)
    done = ", ".join(f"{count} {name}" for name, count in sorted(crowd.counts.items()))
    print(f"{share * given.members} rounds: {done}; {len(crowd.faults)} faults")
    sys.exit(1 if crowd.faults else 0)


if __name__ == "__main__":
    main()
