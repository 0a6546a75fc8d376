"""What `finder` finds is what Python would have found; whatever else there is, it leaves to it."""

from __future__ import annotations

import os
import py_compile
import subprocess
import sys
from importlib.util import cache_from_source

import pytest

from rootless import finder


@pytest.fixture
def room(tmp_path):
    """A folder of compiled modules below the name of ours: `one`, and a package `many`."""
    (tmp_path / "many").mkdir()
    for name, text in {"one.py": "VALUE = 1\n", "many/__init__.py": "VALUE = 'many'\n"}.items():
        (tmp_path / name).write_text(text)
        py_compile.compile(str(tmp_path / name), doraise=True)
    return tmp_path


def found(room, name):
    return finder.Finder.find_spec(f"rootless.{name}", [str(room)])


def executed(spec):
    module = type(sys)(spec.name)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(("name", "file"), [("one", "one.py"), ("many", "many/__init__.py")])
def test_a_compiled_module_is_found_as_python_finds_it(room, name, file):
    from importlib.machinery import PathFinder

    ours, theirs = found(room, name), PathFinder.find_spec(name, [str(room)])
    assert ours.origin == theirs.origin == str(room / file)
    assert ours.cached == theirs.cached
    assert ours.has_location
    assert ours.submodule_search_locations == theirs.submodule_search_locations
    assert (1 if name == "one" else "many") == executed(ours).VALUE
    assert ours.loader.get_source(ours.name) == (room / file).read_text()


def test_it_can_be_loaded_again(room):
    spec = found(room, "one")
    module = executed(spec)
    (room / "one.py").write_text("VALUE = 'changed'\n")
    spec.loader.exec_module(module)
    assert module.VALUE == "changed"


def test_its_code_says_where_the_source_is_now(room):
    (room / "one.py").write_text("def call(): pass\n")
    py_compile.compile(str(room / "one.py"), dfile="elsewhere/one.py", doraise=True)
    code = executed(found(room, "one")).call.__code__
    assert code.co_filename == str(room / "one.py")


def changed(room):
    (room / "one.py").write_text("VALUE = 22\n")


def touched(room):
    os.utime(room / "one.py", (1, 1))


def gone(room):
    (room / "one.py").unlink()


def never_compiled(room):
    os.unlink(cache_from_source(str(room / "one.py")))


def of_another_python(room):
    path = cache_from_source(str(room / "one.py"))
    with open(path, "r+b") as file:
        file.write(b"\0\0\r\n")


def by_its_hash(room):
    checked = py_compile.PycInvalidationMode.CHECKED_HASH
    py_compile.compile(str(room / "one.py"), invalidation_mode=checked, doraise=True)


def cut_short(room):
    with open(cache_from_source(str(room / "one.py")), "r+b") as file:
        file.truncate(10)


@pytest.mark.parametrize(
    "happens",
    [
        changed, touched, gone, never_compiled, of_another_python, by_its_hash,
        cut_short,
    ],
)  # fmt: skip
def test_what_is_not_as_it_was_compiled_is_left_to_python(room, happens):
    assert found(room, "one")
    happens(room)
    assert found(room, "one") is None


def test_it_finds_nothing_of_others(room):
    for name, path in (("one", None), ("one", [str(room)]), ("rootlessness.one", [str(room)])):
        assert finder.Finder.find_spec(name, path) is None


@pytest.mark.parametrize("option", [["-O"], ["-X", "pycache_prefix=/nonexistent"]])
def test_where_python_keeps_its_files_elsewhere_it_is_not_installed(option):
    script = "import sys; from rootless import finder; finder.install(); print(sys.meta_path[0])"
    command = [sys.executable, *option, "-c", script]
    answer = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "finder" not in answer.stdout


def test_it_is_installed_once():
    script = (
        "import sys; from rootless import finder; finder.install(); finder.install(); "
        "print(sys.meta_path.count(finder.Finder))"
    )
    answer = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert answer.stdout == "1\n", answer.stderr
