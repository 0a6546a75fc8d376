"""Small Dockerfiles and what `docker build --check` says of each: tests/corpus/checks/cases.jsonl.

A line is a case: its Dockerfile, `flags`, `ignore` (the .dockerignore), and docker's `answer`:
warnings as [rule, detail, first line, last line], and the error that ended the check, if any.
Run as a script where there is a dockerd, it asks docker again and rewrites the answers:

    python -m tests.support.checks            # all cases; or only those whose names are given

The base of some is `checkbase`, which `BASE` describes and the script builds first; of others
127.0.0.1:5000/foreign, an image for arm64 alone, for which nobody but a registry there can speak.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

CASES = Path(__file__).parents[1] / "corpus/checks/cases.jsonl"
BASE = """FROM scratch
ENV FROM_BASE=1
SHELL ["/bin/bash", "-c"]
WORKDIR /base
"""
TRIGGERS = """FROM scratch
ONBUILD ENV TOKEN x
ONBUILD WORKDIR relative
ONBUILD LABEL a=$NOWHERE
"""


def cases() -> list[dict]:
    return [json.loads(line) for line in CASES.read_text("utf-8").split("\n") if line]


def ask(case: dict) -> dict:
    """What docker answers."""
    with tempfile.TemporaryDirectory() as folder:
        context = Path(folder)
        (context / "Dockerfile").write_text(case["dockerfile"])
        if "ignore" in case:
            (context / ".dockerignore").write_text(case["ignore"])
        command = ["docker", "build", "--call", "check,format=json", *case.get("flags", [])]
        done = subprocess.run([*command, folder], capture_output=True, text=True, check=False)
    return answer(done.stdout, done.stderr) | {"exit": done.returncode}


def answer(stdout: str, stderr: str) -> dict:
    """The findings in docker's JSON; without any, what the last line of its errors says."""
    if not stdout.strip():
        said = [line for line in stderr.splitlines() if line.startswith("ERROR: ")]
        return {"warnings": [], "error": [said[-1] if said else stderr[-200:]]}
    value = json.loads(stdout[: stdout.rindex("}") + 1])
    found = [
        [one["ruleName"], one["detail"], *_lines(one["location"])]
        for one in value["warnings"] or []
    ]
    error = value.get("buildError")
    place = (error or {}).get("location") or {}
    return {"warnings": found, "error": error and [error["message"], *_lines(place)]}


def _lines(location: dict) -> list[int]:
    ranges = location.get("ranges") or [{"start": {}, "end": {}}]
    return [ranges[0]["start"].get("line", 0), ranges[-1]["end"].get("line", 0)]


def main(names: list[str]) -> None:
    for name, text in (("checkbase", BASE), ("checktriggers", TRIGGERS)):
        subprocess.run(["docker", "build", "-q", "-t", name, "-"], input=text.encode(), check=True)
    found = cases()
    for case in found:
        if not names or case["name"] in names:
            case["answer"] = ask(case)
    lines = (json.dumps(case, ensure_ascii=False) + "\n" for case in found)
    CASES.write_text("".join(lines), "utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
