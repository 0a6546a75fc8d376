"""The house rules of docs/architecture.md, read off the code: who imports whom, sizes, start-up."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

PROJECT = Path(__file__).resolve().parents[2]
PACKAGE = PROJECT / "rootless"

# Every room may import these six, itself, and what its line adds. Nothing else.
FOUNDATION = {"errors", "record", "record_json", "leanjson", "linux", "nearest"}
MACHINE = {
    *("complaints", "programs", "subids", "process", "userns", "rung", "inroot", "living"),
    *("owners", "standins", "interrupts", "permissions", "deletion"),
}
MAY_IMPORT = {
    "errors": set(),
    "record": set(),
    "leanjson": set(),
    "linux": set(),
    "record_json": set(),
    "nearest": set(),
    "oci": set(),
    "programs": set(),
    "subids": {"programs"},
    "complaints": {"programs", "subids"},
    "process": {"complaints"},
    "interrupts": set(),
    "rung": set(),
    "userns": {"complaints", "programs", "process", "rung", "subids"},
    "inroot": set(),
    "deletion": set(),
    "living": set(),
    "owners": {"userns", "rung", "complaints"},
    "standins": set(),
    "permissions": {"rung"},
    "dockerfile": {"oci"},
    "bake": {"oci"},
    "fleet": {"programs", "interrupts"},
    "archive": {"oci", *MACHINE},
    "registry": {"oci"},
    "sandbox": MACHINE,
    "network": MACHINE,
    "doctor": {"network", "sandbox", *MACHINE},
    "store": {"archive", "oci", *MACHINE},
    "image": {"registry", "store", "archive", "oci", *MACHINE},
    "roots": {"store", "sandbox", "archive", "oci", *MACHINE},
    "runspec": {"roots", "store", "sandbox", "network", "oci", *MACHINE},
    "container": {
        *("runspec", "roots", "store", "archive", "sandbox", "network", "oci"),
        *MACHINE,
    },
    "build": {
        *("runspec", "roots", "image", "store", "archive", "sandbox", "network", "dockerfile"),
        "oci",
        *MACHINE,
    },
    "cli": {
        *("build", "container", "image", "runspec", "roots", "registry"),
        *("dockerfile", "bake", "fleet"),
        *("store", "archive", "sandbox", "network", "oci", "doctor"),
        *MACHINE,
    },
    "finder": set(),
    "__main__": {"cli", "finder"},
}
BUILD = {"build.request", "build.stack"}  # values that all of the builder speaks in
MAY_IMPORT_IN_BUILD = {
    "build.plan": set[str](),
    "build.inputs": {"build.plan"},
    "build.cache": {"build.plan", "build.inputs"},
    "build.carry": {"build.plan", "build.inputs", "build.cache"},
    "build.export": {"build.plan"},
}
"""The rooms within `build`; `build/build.py` is the way in, and sees them all."""
ASK_WHICH_RUNG = {"roots", "runspec", "doctor", "owners", "permissions", "archive.places"}
"""All that is built on these is the same on every rung."""
DECIDE_THE_RUNG = {"rung", "userns"}
FORCE_A_RUNG = {
    "cli.main": {"rung", "force", "forced", "kernel", "ROOT", "FOR_COPIES", "FOR_MOUNTS"}
}
"""What they have of it, who may not ask."""
NO_LINUX = {
    "errors",
    "record",
    "record_json",
    "leanjson",
    "nearest",
    "oci",
    "dockerfile",
    "bake",
}  # pure: values, texts

# What `run` and a cached `build` load. Each of these modules costs 2 to 90 ms of start-up.
HOT = {
    *(
        "errors",
        "record",
        "leanjson",
        "linux",
        "programs",
        "subids",
        "process",
        "userns",
        "rung",
        "inroot",
        "living",
        "oci",
    ),
    *("dockerfile", "sandbox", "roots", "runspec", "container", "build", "__main__"),
    "finder",
    "image.obtain",
    *("store.blobs", "store.layers", "store.images", "store.lock", "store.snapshots"),
    *("cli.main", "cli.parser", "cli.settings", "cli.table"),
}
SLOW = {
    *("argparse", "asyncio", "click", "concurrent", "contextlib", "dataclasses", "email"),
    *("ctypes", "encodings.ascii", "enum"),  # a text file that says it is ASCII: half a millisecond
    *("hashlib", "http", "inspect", "json", "logging", "pathlib", "pyroute2", "re", "rich"),
    *("shutil", "signal", "socket", "ssl", "subprocess", "tempfile", "threading", "typing"),
    *("urllib", "urllib3", "uuid", "zstandard"),
}

MOST_LINES = 500
MOST_LINES_OF_FUNCTION = 50
# path or path:function → why it is longer than that
LONGER: dict[str, str] = {}


class Import(NamedTuple):
    module: str
    line: int
    at_start: bool


def _modules() -> dict[str, Path]:
    """Every module of the package by its dotted name without `rootless.`."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)
        found[name] = path
    return found


MODULES = _modules()


def _is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"


def _imports(node: ast.AST, *, at_start: bool = True) -> list[Import]:
    """Every import below `node`; `at_start` unless in a function or for the type checker."""
    if isinstance(node, ast.Import):
        return [Import(alias.name, node.lineno, at_start) for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        assert node.level == 0, f"line {node.lineno}: imports are absolute"
        if node.module == "rootless":
            return [Import(f"rootless.{alias.name}", node.lineno, at_start) for alias in node.names]
        return [Import(node.module or "", node.lineno, at_start)]
    found = []
    if _is_type_checking(node):
        assert isinstance(node, ast.If)
        for child in node.body:
            found += _imports(child, at_start=False)
        for child in node.orelse:
            found += _imports(child, at_start=at_start)
        return found
    at_start = at_start and not isinstance(node, ast.FunctionDef | ast.Lambda)
    for below in ast.iter_child_nodes(node):
        found += _imports(below, at_start=at_start)
    return found


def _imports_of(name: str) -> list[Import]:
    return _imports(ast.parse(MODULES[name].read_text()))


def _room(name: str) -> str:
    return name.partition(".")[0]


@pytest.mark.parametrize("name", [name for name in MODULES if name != "__init__"])
def test_a_room_imports_only_what_stands_below_it(name):
    room = _room(name)
    assert room in MAY_IMPORT, f"rootless/{room} is a new room: give it a line in MAY_IMPORT"
    allowed = MAY_IMPORT[room] | FOUNDATION | {room, "__version__"}
    if room in NO_LINUX:
        allowed -= {"linux"} - {room}
    wrong = [
        f"{MODULES[name].relative_to(PROJECT)}:{found.line} imports {found.module}"
        for found in _imports_of(name)
        if found.module.startswith("rootless.") and found.module.split(".")[1] not in allowed
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("name", [name for name in MODULES if name.startswith("build.")])
def test_within_the_builder_too(name):
    room = ".".join(name.split(".")[:2])
    if room not in MAY_IMPORT_IN_BUILD:
        assert MODULES[name].parent.name == "build", f"{room} is a new room: give it a line"
        return
    allowed = MAY_IMPORT_IN_BUILD[room] | BUILD | {room}
    wrong = [
        f"{MODULES[name].relative_to(PROJECT)}:{found.line} imports {found.module}"
        for found in _imports_of(name)
        if found.module.startswith("rootless.build.")
        and ".".join(found.module.split(".")[1:3]) not in allowed
    ]
    assert not wrong, "\n".join(wrong)


def _asked_of_rung(text: str) -> set[str]:
    """What a module has of `rung`, however it comes by it; `rung` is the module itself."""
    nodes = list(ast.walk(ast.parse(text)))
    found, called = set(), {"rung"}
    for node in nodes:
        if isinstance(node, ast.ImportFrom) and node.module == "rootless.rung":
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.Import | ast.ImportFrom):
            given = [one for one in node.names if one.name in ("rung", "rootless.rung")]
            called |= {alias.asname for alias in given if alias.asname}
            found |= {"rung" for _ in given}
    for node in nodes:
        if isinstance(node, ast.Attribute) and ast.unparse(node.value).split(".")[-1] in called:
            found.add(node.attr)
    return found


@pytest.mark.parametrize("name", [name for name in MODULES if name not in DECIDE_THE_RUNG])
def test_only_who_must_asks_which_rung_it_is(name):
    asked = _asked_of_rung(MODULES[name].read_text())
    if not {name, _room(name)} & ASK_WHICH_RUNG:
        assert asked <= FORCE_A_RUNG.get(name, set()), f"{name} asks which rung it is"


@pytest.mark.parametrize(
    "text",
    [
        "from rootless import rung\nrung.current()",
        "from rootless import rung as here\nhere.current()",
        "from rootless.rung import current as here",
        "import rootless.rung as here\nasked = here.current",
        "import rootless\nrootless.rung.current()",
        "from rootless import userns\nuserns.rung.current()",
        "def asked():\n    from rootless import rung\n    return rung.current()",
    ],
)
def test_who_asks_is_seen_however_it_is_spelled(text):
    assert "current" in _asked_of_rung(text)


def _drawing() -> list[str]:
    page = (PROJECT / "docs/architecture.md").read_text()
    return page.partition("## The rooms")[2].split("```")[1].splitlines()


def test_the_drawing_shows_every_room_above_those_it_imports():
    place = {}
    for room in MAY_IMPORT.keys() - {"__main__"}:
        shown = re.compile(rf"\b{room}(/|\.py)")
        place[room] = next((at for at, line in enumerate(_drawing()) if shown.search(line)), -1)
    assert [room for room, at in place.items() if at < 0] == []
    upwards = [
        f"{room} imports {other}"
        for room, at in place.items()
        for other in MAY_IMPORT[room]
        if place[other] < at
    ]
    assert upwards == []


def test_the_drawing_names_modules_that_exist():
    known = {part for name in MODULES for part in name.split(".")}
    named = re.findall(r"\w+(?= ·)|(?<=· )\w+|\w+(?=\.py)", "\n".join(_drawing()))
    assert set(named) - known == set()


def _is_hot(name: str) -> bool:
    return name in HOT or _room(name) in HOT


@pytest.mark.parametrize("name", [name for name in MODULES if _is_hot(name)])
def test_hot_modules_import_nothing_slow_at_start(name):
    slow = [
        f"{MODULES[name].relative_to(PROJECT)}:{found.line} imports {found.module}"
        for found in _imports_of(name)
        if found.at_start and found.module.partition(".")[0] in SLOW
    ]
    assert not slow, "\n".join(slow)


def test_only_the_command_line_prints_and_reads_the_environment():
    wrong = []
    for name, path in MODULES.items():
        if _room(name) in {"cli", "__main__"}:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "print":
                wrong.append(f"{path.relative_to(PROJECT)}:{node.lineno} prints")
            if isinstance(node, ast.Attribute) and ast.unparse(node) in {"os.environ", "os.getenv"}:
                wrong.append(f"{path.relative_to(PROJECT)}:{node.lineno} reads the environment")
    assert not wrong, "\n".join(wrong)


def test_files_and_functions_are_short():
    long = []
    for path in MODULES.values():
        text = path.read_text()
        name = str(path.relative_to(PROJECT))
        if (lines := text.count("\n")) > MOST_LINES and name not in LONGER:
            long.append(f"{name}: {lines} lines")
        for node in ast.walk(ast.parse(text)):
            if not isinstance(node, ast.FunctionDef) or f"{name}:{node.name}" in LONGER:
                continue
            if (lines := (node.end_lineno or 0) - node.lineno + 1) > MOST_LINES_OF_FUNCTION:
                long.append(f"{name}:{node.lineno} {node.name}: {lines} lines")
    assert not long, "\n".join(long)


def test_every_exception_from_the_sizes_is_still_needed():
    for name in LONGER:
        path, _, function = name.partition(":")
        text = (PROJECT / path).read_text()
        assert not function or f"def {function}(" in text, f"{name} is gone: take it off the table"


@pytest.mark.parametrize("name", list(MODULES))
def test_every_module_says_what_it_owns(name):
    docstring = ast.get_docstring(ast.parse(MODULES[name].read_text()))
    assert docstring, f"{MODULES[name]} has no docstring"
    assert len(docstring.splitlines()) <= 25, f"{MODULES[name]}: the docstring is an essay"


def _loaded(*argv: str) -> set[str]:
    """Top-level names of the modules that `rootless ARGV` has loaded when it ends."""
    code = (
        "import sys; before = set(sys.modules); from rootless.cli.main import main\n"
        "try: main(sys.argv[1:])\n"
        "finally: print(*(set(sys.modules) - before), file=sys.stderr)"
    )
    # -S -I: what the site and its .pth files load is not ours to count
    path = f"import sys; sys.path[:0] = {[str(PROJECT)]!r};"
    answer = subprocess.run(
        [sys.executable, "-I", "-S", "-c", path + code, *argv],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "ROOTLESS_ROOT": "/nonexistent/rootless"},
    )
    return {name.partition(".")[0] for name in answer.stderr.splitlines()[-1].split()}


@pytest.mark.parametrize(
    "argv",
    [
        ("--version",),
        ("images",),
        ("ps",),
    ],
    ids=" ".join,
)
def test_hot_verbs_load_nothing_slow(argv):
    """Those that need an image are in integration/test_startup.py."""
    assert not _loaded(*argv) & SLOW
