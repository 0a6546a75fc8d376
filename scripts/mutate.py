"""Breaks one expression or statement at a time, runs the tests of that room, counts what they saw.

A mutant that the tests of its room let live is printed as the line it changed. `--count` mutants
are drawn at random (`--seed`) from all of rootless/, or from the paths named; each is tried in a
copy of the checkout, so the checkout stays as it is and may be edited meanwhile. Unit tests are
asked first; with `--deep` the integration and end-to-end tests of the room too, which takes a
minute for each mutant that lives so long.
"""

from __future__ import annotations

import argparse
import ast
import concurrent.futures
import os
import random
import shutil
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

PROJECT = Path(__file__).resolve().parents[1]
SECONDS = 240  # a mutant that hangs is seen too

# The tests above unit that a room's faults show in; what is not named here is asked everything.
DEEP = {
    "archive": ("integration/test_layers_*", "integration/test_archives*"),
    "build": ("e2e/test_build*", "e2e/test_fuzz*"),
    "cli": ("e2e/test_cli*", "e2e/test_completion*", "e2e/test_run.py"),
    "container": ("e2e/test_run*", "e2e/test_cont*"),
    "dockerfile": ("e2e/test_build*",),
    "network": ("integration/test_network*",),
    "registry": ("integration/test_registry*",),
    "roots": ("integration/test_roots*", "e2e/test_build_steps*", "e2e/test_run.py"),
    "sandbox": ("integration/test_sandbox*", "integration/test_caps*", "integration/test_seccomp*"),
    "store": ("integration/test_store*", "integration/test_archives*", "e2e/test_cli_images*"),
}
COMPARISONS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Eq: ast.NotEq, ast.NotEq: ast.Eq, ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE,
    ast.GtE: ast.Gt, ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
}  # fmt: skip
OPERATORS: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Add, ast.BitOr: ast.BitAnd,
    ast.BitAnd: ast.BitOr, ast.FloorDiv: ast.Mult, ast.LShift: ast.RShift,
}  # fmt: skip


class Mutant(NamedTuple):
    """One break: the node's place in ast.walk, and which of its breaks."""

    path: Path
    node: int
    line: int
    what: str


def breaks_of(node: ast.AST) -> Iterator[str]:
    """The names of what can be broken in a node."""
    if isinstance(node, ast.Compare) and type(node.ops[0]) in COMPARISONS:
        yield "comparison"
    elif isinstance(node, ast.BoolOp):
        yield "and/or"
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        yield "not"
    elif isinstance(node, ast.BinOp) and type(node.op) in OPERATORS:
        yield "operator"
    elif isinstance(node, ast.Constant) and isinstance(node.value, bool | int):
        yield "constant"
    elif isinstance(node, ast.If | ast.While):
        yield "condition"
    elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
        yield "call"


def mutants_of(path: Path) -> Iterator[Mutant]:
    """Every break of one module, but those that only a type checker or a reader would notice."""
    tree = ast.parse(path.read_text("utf-8"))
    ignored = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.AnnAssign | ast.arg | ast.If)
        and (not isinstance(node, ast.If) or ast.unparse(node.test) == "TYPE_CHECKING")
        for part in ([node] if isinstance(node, ast.If) else [node.annotation])
        if part is not None
        for inner in ast.walk(part)
    }
    for number, node in enumerate(ast.walk(tree)):
        if id(node) not in ignored:
            for what in breaks_of(node):
                yield Mutant(path, number, node.lineno, what)  # type: ignore[attr-defined]


def broken(mutant: Mutant) -> str:
    """The module's text with the break in it."""
    tree = ast.parse(mutant.path.read_text("utf-8"))
    node = list(ast.walk(tree))[mutant.node]
    if isinstance(node, ast.Compare):
        node.ops[0] = COMPARISONS[type(node.ops[0])]()
    elif isinstance(node, ast.BoolOp):
        node.op = ast.And() if isinstance(node.op, ast.Or) else ast.Or()
    elif isinstance(node, ast.UnaryOp):
        node.op, node.operand = ast.Not(), ast.UnaryOp(ast.Not(), node.operand)
    elif isinstance(node, ast.BinOp):
        node.op = OPERATORS[type(node.op)]()
    elif isinstance(node, ast.Constant):
        is_bool = isinstance(node.value, bool)
        node.value = not node.value if is_bool else int(node.value) + 1  # type: ignore[arg-type]
    elif isinstance(node, ast.If | ast.While):
        node.test = ast.UnaryOp(ast.Not(), node.test)
    elif isinstance(node, ast.Expr):
        node.value = ast.Constant(None)
    return ast.unparse(ast.fix_missing_locations(tree))


def tests_of(path: Path, *, deep: bool) -> list[list[str]]:
    """The tests to ask, cheapest first: lists of pytest arguments."""
    parts = path.relative_to(PROJECT / "rootless").with_suffix("").parts
    unit = PROJECT / "tests/unit"
    near = unit / parts[0] if (unit / parts[0]).is_dir() else unit
    rounds = [[str(near.relative_to(PROJECT))]]
    if near != unit:
        rounds.append(["tests/unit", f"--ignore={near.relative_to(PROJECT)}"])
    if deep:
        globs = DEEP.get(parts[0], ("integration/test_*", "e2e/test_*"))
        tests = PROJECT / "tests"
        paths = [one for glob in globs for one in tests.glob(f"{glob.removesuffix('.py')}.py")]
        found = [str(one.relative_to(PROJECT)) for one in sorted(paths)]
        rounds.append(found)
    return rounds


class Place:
    """A copy of the checkout in which mutants are tried, one at a time."""

    def __init__(self, folder: str) -> None:
        self.path = Path(folder)
        ignore = shutil.ignore_patterns(".*", "__pycache__", "htmlcov", "dist")
        shutil.copytree(PROJECT, self.path / "checkout", ignore=ignore, symlinks=True)
        shared = PROJECT.parent / "shared"
        if shared.exists():
            (self.path / "shared").symlink_to(shared.resolve())

    def is_seen(self, mutant: Mutant, *, deep: bool) -> bool:
        """Whether a test fails, or does not end, with the mutant."""
        target = self.path / "checkout" / mutant.path.relative_to(PROJECT)
        original = target.read_bytes()
        target.write_text(broken(mutant), "utf-8")
        try:
            return any(not self._passes(one) for one in tests_of(mutant.path, deep=deep))
        finally:
            target.write_bytes(original)

    def check(self) -> None:
        """Insist that the tests pass without any break."""
        if not self._passes(["tests/unit"]):
            sys.exit("the unit tests fail as they are: mend them first")

    def _passes(self, tests: list[str]) -> bool:
        command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *tests]
        # what a break in the sizes or styles of files would show is no test of behaviour
        command += ["--deselect", "tests/unit/test_architecture.py"]
        checkout = self.path / "checkout"
        environment = {**os.environ, "PYTHONPATH": str(checkout), "PYTHONDONTWRITEBYTECODE": "1"}
        with subprocess.Popen(
            command, cwd=checkout, env=environment, stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
        ) as running:  # fmt: skip
            try:
                return running.wait(SECONDS) == 0
            except subprocess.TimeoutExpired:
                os.killpg(running.pid, 9)
                return False


def main() -> int:
    """Draw, try, tell."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--deep", action="store_true", help="ask integration and e2e tests too")
    parser.add_argument("paths", nargs="*", type=Path, help="modules or folders of rootless/")
    given = parser.parse_args()
    roots = [path.resolve() for path in given.paths] or [PROJECT / "rootless"]
    modules = [one for root in roots for one in (sorted(root.rglob("*.py")) or [root])]
    every = [mutant for module in modules for mutant in mutants_of(module)]
    chosen = random.Random(given.seed).sample(every, min(given.count, len(every)))
    with tempfile.TemporaryDirectory() as folder:
        Place(folder).check()
    print(
        f"{len(every)} possible breaks in {len(modules)} modules; trying {len(chosen)}", flush=True
    )
    seen = 0
    with tempfile.TemporaryDirectory() as folder:
        at_once = len(os.sched_getaffinity(0))
        own = threading.local()
        numbers = iter(range(at_once))

        def attempt(mutant: Mutant) -> bool:
            if not hasattr(own, "place"):
                (Path(folder) / (name := str(next(numbers)))).mkdir()
                own.place = Place(f"{folder}/{name}")
            return bool(own.place.is_seen(mutant, deep=given.deep))

        with concurrent.futures.ThreadPoolExecutor(at_once) as pool:
            for mutant, is_seen in zip(chosen, pool.map(attempt, chosen), strict=True):
                seen += is_seen
                if not is_seen:
                    line = mutant.path.read_text("utf-8").splitlines()[mutant.line - 1].strip()
                    place = f"{mutant.path.relative_to(PROJECT)}:{mutant.line}"
                    print(f"lives: {place} {mutant.what}: {line}", flush=True)
    print(f"{seen} of {len(chosen)} breaks were seen by a test ({100 * seen // len(chosen)} %)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
