"""Cases for a judge written down by hand: a file of many, each a name, files and a Dockerfile.

What this file is about: text before the first case is for people, but for files.
@f top.txt = top\\n                  a file of every case's context
== name-of-a-case {flags: -f x}      flags of `build`; {escaped}: as a file's content, see below
    @f 600 in/file = some\\ncontent    a file; \\n \\r \\t \\\\ \\ufeff mean what they do elsewhere
@d 755 in   @l ln -> target   @h hard -> in/file   @p 644 pipe
@t ar.tar                            an archive (z: gzip, b: bzip2); its members follow
+f 644 1000:1001 member = content    of the kinds above, and c: a file with a capability
FROM judged                          all that follows is the Dockerfile
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tests.support import judged
from tests.support.judged import Case, Entry
from tests.support.machine import PROJECT

FOLDER = PROJECT / "tests" / "corpus" / "docker28"
LABS = "Docker 28 has it in its labs."
"""In the text of a file: what is in it needs the labs' channel of the Dockerfile frontend."""

_ENTRY = re.compile(
    r"[@+](?P<kind>\w)(?: (?P<mode>[0-7]{3,4}))?(?: (?P<uid>\d+):(?P<gid>\d+))? "
    r"(?P<path>.*?)(?: ?(?P<sign>->|=)(?: (?P<content>.*)|$))?$"
)
_HEAD = re.compile(r"== (?P<name>\S+)(?: \{(?:flags: (?P<flags>.*)|(?P<escaped>escaped))\})?$")
_ESCAPE = re.compile(r"\\(u[0-9a-f]{4}|.)")
_LETTERS = {"n": "\n", "r": "\r", "t": "\t"}


def names() -> list[str]:
    """The files there are, without their endings."""
    return sorted(path.stem for path in FOLDER.glob("*.cases"))


def path_of(name: str) -> Path:
    return FOLDER / f"{name}.cases"


def answers_path(name: str) -> Path:
    return FOLDER / f"{name}.answers"


def answers(name: str) -> dict[str, Any]:
    """What docker said, by the key of the case; empty where it has not been asked."""
    path = answers_path(name)
    lines = path.read_text().splitlines() if path.exists() else []
    if lines and json.loads(lines[0])["base"] != judged.base_key():
        lines = []
    return {one["key"]: one["answer"] for one in map(json.loads, lines[1:])}


def is_labs(name: str) -> bool:
    return LABS in path_of(name).read_text().partition("\n== ")[0]


def read(name: str) -> list[Case]:
    """All cases of a file, named `file/case`."""
    text = path_of(name).read_text()
    head, *blocks = re.split(r"^(?=== )", text, flags=re.MULTILINE)
    shared = _entries(line for line in head.splitlines() if line[:1] in ("@", "+"))
    return [_case(name, block, shared) for block in blocks]


def _case(file: str, block: str, shared: list[Entry]) -> Case:
    first, *lines = block.removesuffix("\n").split("\n")
    head = _HEAD.match(first)
    assert head, first
    end = next((at for at, line in enumerate(lines) if line[:1] not in ("@", "+")), len(lines))
    own = _entries(lines[:end])
    named = {entry.path for entry in own}
    context = [*(entry for entry in shared if entry.path not in named), *own]
    body = "\n".join(lines[end:])
    text = _unescaped(body) if head["escaped"] else body
    return Case(f"{file}/{head['name']}", [[text]], context, shlex.split(head["flags"] or ""))


def _entries(lines: Iterable[str]) -> list[Entry]:
    found: list[Entry] = []
    for line in lines:
        match = _ENTRY.match(line)
        assert match, line
        made = _entry(match)
        if line[0] == "+":
            found[-1].content.append(list(made))
        else:
            found.append(made)
    return found


def _entry(match: re.Match[str]) -> Entry:
    kind = match["kind"]
    default = {"d": 0o755, "l": 0o777}.get(kind, 0o644)
    content = [] if kind in "tzb" else _unescaped(match["content"] or "")
    owner = (int(match["uid"] or 0), int(match["gid"] or 0))
    mode = int(match["mode"], 8) if match["mode"] else default
    return Entry(match["path"], kind, mode, content, owner)


def _unescaped(text: str) -> str:
    return _ESCAPE.sub(lambda match: _letter(match[1]), text)


def _letter(text: str) -> str:
    return chr(int(text[1:], 16)) if len(text) > 1 else _LETTERS.get(text, text)
