"""What builds and pulls cost a registry in requests and bytes; started by scripts/fleet.

Counts what passes a registry on loopback, one machine after the other, and multiplies: the tables
of docs/fleet.md.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support import child, fleet, images, machine
from tests.support.counting import Counter
from tests.support.registry import Registry

if TYPE_CHECKING:
    from collections.abc import Callable


def main() -> int:
    """Print a table of what was counted, and one of what many machines would ask."""
    parser = argparse.ArgumentParser(prog="scripts/fleet", description=__doc__)
    parser.add_argument("--mebibytes", type=int, default=64, help="of packages in the image [64]")
    parser.add_argument("--machines", type=int, default=1000, help="to multiply with [1000]")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="fleet-") as name:
        folder = Path(name)
        with Registry(folder / "registry") as registry, Counter(registry) as counter:
            registry.push(images.busybox(folder / "busybox"), "fleet/base")
            size = given.mebibytes << 20
            found = list(fleet.scenes(counter, _machines(folder), folder, size))
        for path in folder.glob("store.*"):
            child.remove_tree(path)
    for count in (1, given.machines):
        print(f"\n| machines: {count:,} | requests | to the registry | from it |")
        print("|---|---:|---:|---:|")
        for scene in found:
            requests, up, down = (count * value for value in scene.cost)
            print(f"| {scene.name} | {requests:,} | {_size(up)} | {_size(down)} |")
    return 0


def _machines(folder: Path) -> Callable[[str], Callable[..., str]]:
    def at(name: str) -> Callable[..., str]:
        def run(*words: str) -> str:
            root = ("--root", str(folder / f"store.{name}"))
            environment = {**os.environ, "PYTHONPATH": str(machine.PROJECT)}
            command = [sys.executable, "-m", "rootless", *root, *words]
            return subprocess.run(
                command, env=environment, check=True, text=True, stdout=subprocess.PIPE
            ).stdout

        return run

    return at


def _size(count: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} TB"


if __name__ == "__main__":
    sys.exit(main())
