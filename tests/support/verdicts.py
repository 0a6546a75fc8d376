"""What a judge said of a case, what rootless makes of it in several ways, and whether they agree.

An answer is {"refused": words} or {"changed": {path: line}, "removed": [path], "config": {…},
"history": [line]}: what a built image is beside its base, see tests/support/trees.py for the lines.
Those that were kept before histories were looked at have none.
"""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tests.support import judged, trees
from tests.support.judged import Case
from tests.support.trees import Image

WAYS = ("as it stands", "without the cache", "from the cache", "beside others")


def brief(image: Image, base: Image) -> dict[str, Any]:
    """The answer that an image is."""
    changed = {path: line for path, line in image.tree.items() if base.tree.get(path) != line}
    removed = sorted(path for path in base.tree if path not in image.tree)
    return {
        "changed": changed,
        "removed": removed,
        "config": image.config,
        "history": list(image.history),
    }


def image_of(answer: dict[str, Any], base: Image) -> Image:
    """The image that an answer is."""
    tree = {**base.tree, **answer["changed"]}
    for path in answer["removed"]:
        del tree[path]
    return Image(
        tree, trees.filled(answer["config"]), tuple(map(trees.in_order, answer.get("history", ())))
    )


def differences(
    answer: dict[str, Any], ours: Image | str, base: Image, *, drops_copies: bool = False
) -> list[str]:
    """One line for each difference; `ours` is what we built, or why we did not.

    A judge that `drops_copies` leaves a file out of a layer when the layers below have the same:
    a new name for a file of the base is then a file of its own, and the base's names stay one.
    """
    if isinstance(ours, str):
        if "Traceback" in ours:
            return [*ours.strip().splitlines()]
        return [] if "refused" in answer else [f"+ refused: {ours.strip()}"]
    if "refused" in answer:
        return [f"- refused: {answer['refused']}"]
    theirs = image_of(answer, base)
    copied = {path for path, line in theirs.tree.items() if " t=" in line}
    images = [_comparable(theirs, copied), _comparable(ours, copied)]
    if drops_copies:
        images = [_without_links_to(base, image) for image in images]
    return trees.difference(*images)


def _without_links_to(base: Image, image: Image) -> Image:
    """Without the links among names of which one is a file as it was in the base."""
    unchanged = {
        line.partition(" h=")[2]
        for path, line in image.tree.items()
        if " h=" in line
        and line.partition(" h=")[0] == _timeless(base.tree.get(path, "")).partition(" h=")[0]
    }
    tree = {
        path: line.partition(" h=")[0] if line.partition(" h=")[2] in unchanged else line
        for path, line in image.tree.items()
    }
    return image._replace(tree=tree)


def _comparable(image: Image, copied: set[str]) -> Image:
    """Without times, and without the set-id bits of files that the build has written to.

    What a build makes has a time of its own here, so that the same build gives the same image. In a
    user namespace the kernel takes set-id bits away, even from root, when a command writes to a
    file that has them; there is nothing to be done. What was `copied`, for docker left it its old
    time, is compared.
    """
    tree = {path: _comparable_line(line, path in copied) for path, line in image.tree.items()}
    return image._replace(tree=tree)


def _comparable_line(line: str, is_copied: bool) -> str:
    line = _timeless(line)
    kind, mode, rest = f"{line} ".split(" ", 2)
    if kind != "f" or is_copied:
        return line
    return f"f {int(mode, 8) & 0o1777:o} {rest}".rstrip()


def _timeless(line: str) -> str:
    return re.sub(r" t=\d+", "", line)


class Builder:
    """rootless with one store for many cases; `rootless` is tests.conftest.Rootless."""

    def __init__(self, rootless: Any, folder: Path, base: Path | None = None) -> None:
        """`folder` is made, for contexts and archives; the base image, or another, is loaded."""
        folder.mkdir(exist_ok=True)
        self._rootless, self.folder = rootless, folder
        archive = base or judged.base(folder / "base").archive(folder / "base.tar")
        self.reader = trees.Reader()
        self.base = self.reader.read(archive)
        self._last = "", self.base
        rootless.ok("load", "-i", archive)

    def ways(self, case: Case, ways: tuple[str, ...] = WAYS) -> Iterator[tuple[str, Image | str]]:
        """Build a case in several ways, one after the other: what each time came out."""
        work = Path(tempfile.mkdtemp(dir=self.folder))
        try:
            judged.write_context(case, work / "context")
            for way in ways:
                flags = ["--no-cache"] if way == "without the cache" else []
                if way == "beside others":
                    yield way, self._beside(case, work)
                else:
                    yield way, self._build(case, work, case.key, *flags)
        finally:
            shutil.rmtree(work)

    def all_of(self, cases: Iterable[Case]) -> dict[str, Image | str]:
        """What came out of each, by its name, built as it stands; all images are saved at once."""
        found: dict[str, Image | str] = {}
        built: dict[str, str] = {}
        for case in cases:
            work = Path(tempfile.mkdtemp(dir=self.folder))
            judged.write_context(case, work / "context")
            result = self._run(case, work, case.key)
            if result.exit:
                found[case.name] = str(result.stderr or "refused without a word")
            else:
                built[case.name] = f"{case.key}:latest"
            shutil.rmtree(work)
        if built:
            self._rootless.ok("save", "-o", self.folder / "all", *built.values(), timeout=120)
            images = self.reader.read_all(self.folder / "all")
            found |= {name: images[tag] for name, tag in built.items()}
        return found

    def _beside(self, case: Case, work: Path) -> Image | str:
        """Build while the same is built, removed and pruned."""
        with ThreadPoolExecutor(2) as pool:
            pool.submit(self._run, case, work, f"{case.key}-twin", "--no-cache")
            pool.submit(self._disturb, case)
            return self._build(case, work, f"{case.key}-beside", "--no-cache")

    def _disturb(self, case: Case) -> None:
        for _ in range(2):
            self._rootless("rmi", "-f", case.key, timeout=120)
            self._rootless("system", "prune", "-f", timeout=120)

    def _run(self, case: Case, work: Path, name: str, *flags: str) -> Any:
        argv = ["build", "-q", "--network=none", "-t", name, *case.flags, *flags, work / "context"]
        return self._rootless(*argv, timeout=120, cwd=work / "context")  # as flags name files

    def _build(self, case: Case, work: Path, name: str, *flags: str) -> Image | str:
        """The image, or why there is none."""
        result = self._run(case, work, name, *flags)
        if result.exit:
            return str(result.stderr or "refused without a word")
        identity = result.stdout.strip()
        if identity != self._last[0]:
            self._rootless.ok("save", "-o", work / "saved", name, timeout=120)
            self._last = identity, self.reader.read(work / "saved")
            (work / "saved").unlink()
        return self._last[1]
