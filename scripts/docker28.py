"""Asks docker what the cases of tests/corpus/docker28 give; started by scripts/docker28.

Each FILE.cases gets a FILE.answers, which tests/e2e/test_docker28.py compares with what rootless
builds. A case whose answer is there already is not asked for again. ROOTLESS_FUZZ_DOCKER says where
docker is, as for scripts/fuzz; ROOTLESS_FUZZ_LABS names an image of the Dockerfile frontend's labs,
for what docker has only there.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import fuzz  # beside this file; it makes the project importable

from tests.support import caselist, child, judged
from tests.support.judged import Case


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", nargs="*", help="files, without .cases [all]")
    parser.add_argument("--again", action="store_true", help="ask for all answers anew")
    given = parser.parse_args()
    scratch = Path(tempfile.mkdtemp(prefix="docker28-"))
    archive = judged.base(scratch / "base").archive(scratch / "base.tar")
    judge = fuzz.Judge(archive, judged.base_key())
    try:
        for name in given.names or caselist.names():
            asker = Asker(name, judge, scratch, again=given.again)
            asker.keep()
    finally:
        judge.stop()
        child.remove_tree(scratch)


class Asker:
    """One file of cases, and the answers that are kept beside it."""

    def __init__(self, name: str, judge: fuzz.Judge, scratch: Path, *, again: bool) -> None:
        self._name, self._judge, self._scratch = name, judge, scratch
        judge.flags = fuzz.labs() if caselist.is_labs(name) else []
        self._kept = {} if again else caselist.answers(name)

    def keep(self) -> None:
        """Write the answers of all cases, in their order."""
        cases = caselist.read(self._name)
        with ThreadPoolExecutor(2) as pool:
            lines = [{"base": judged.base_key()}, *pool.map(self._line, cases)]
        text = "".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines)
        caselist.answers_path(self._name).write_text(text)
        print(
            f"{self._name}: {len(cases)} cases, docker was asked {self._judge.asked} times",
            flush=True,
        )

    def _line(self, case: Case) -> dict[str, Any]:
        answer = self._kept.get(case.key)
        if answer is None:
            answer = self._judge.ask(case, self._scratch)
        return {"name": case.name, "key": case.key, "answer": answer}


if __name__ == "__main__":
    main()
