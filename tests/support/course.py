"""What a course has its readers type: the commands and the Dockerfiles in its text."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from pathlib import Path

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
_CELL = re.compile(r"^\| *`(docker [^`]*)`", re.MULTILINE)
_PLAIN_DOCKERFILE = re.compile(r"^FROM .*\n(?:^[A-Z]+ .*\n)+", re.MULTILINE)


class Course(NamedTuple):
    """`commands` in their order, each once; `dockerfiles` that are more than a line."""

    commands: list[str]
    dockerfiles: list[str]


def read(path: Path) -> Course:
    """Markdown with fences and tables, or a plain text with its commands on lines of their own."""
    text = path.read_text(encoding="utf-8")
    fences = [(kind, body) for kind, body in _FENCE.findall(text)]
    if fences:
        lines = [line for kind, body in fences if kind == "bash" for line in body.splitlines()]
        lines += _CELL.findall(text)
        dockerfiles = [body for kind, body in fences if kind == "dockerfile"]
    else:
        lines = [line for line in text.splitlines() if line.strip().startswith("docker ")]
        dockerfiles = _PLAIN_DOCKERFILE.findall(text)
    commands = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
    whole = [one for one in dockerfiles if "COPY" in one]
    return Course(list(dict.fromkeys(commands)), whole)
