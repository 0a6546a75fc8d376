"""Finds the modules of this program at once, where Python asks the system a dozen times for each.

A command loads a hundred of them. Found here is what Python has compiled before, by its own rule:
the source has still the time and the size that the compiled file names. Of all else (a source that
was changed, none that can be read, another package) nothing is found, and Python goes on in its
own way, which compiles it for the next time. Writes nothing.
"""

from __future__ import annotations

import sys
from _frozen_importlib import ModuleSpec
from _frozen_importlib_external import MAGIC_NUMBER, SourceFileLoader
from _imp import _fix_co_filename  # type: ignore[attr-defined]  # typeshed has not got it
from marshal import loads
from posix import O_CLOEXEC, O_RDONLY, close, fstat, open, read, stat  # noqa: A004 - it is meant

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import CodeType, ModuleType

_PREFIX = __name__.partition(".")[0]
_BEHIND = f".{sys.implementation.cache_tag}.pyc"
_HEAD = MAGIC_NUMBER + bytes(4)  # no flags: by time and size; both follow, four bytes each
_START = len(_HEAD) + 8


def install() -> None:
    """From now on, where this Python keeps what it has compiled in the usual place."""
    if not (sys.pycache_prefix or sys.flags.optimize or sys.meta_path[0] is Finder):
        sys.meta_path.insert(0, Finder)


class Loader(SourceFileLoader):
    """Python's own, with the code already at hand for the first time it is asked."""

    def __init__(self, name: str, source: str, code: CodeType) -> None:
        super().__init__(name, source)
        self._code: CodeType | None = code

    def get_code(self, fullname: str) -> CodeType | None:
        code, self._code = self._code, None
        return code or super().get_code(fullname)


class Finder:
    """Among `sys.meta_path`."""

    @staticmethod
    def find_spec(
        name: str, path: Sequence[str] | None = None, _target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """A module, or a package, below ours; None where Python is to look."""
        parent, _, last = name.rpartition(".")
        if not path or parent.partition(".")[0] != _PREFIX:
            return None
        module = f"{path[0]}/{last}"
        return _found(name, path[0], last, "") or _found(name, module, "__init__", module)


def _found(name: str, folder: str, stem: str, inside: str) -> ModuleSpec | None:
    """What is compiled of that source; `inside` is where the modules of a package are."""
    source, compiled = f"{folder}/{stem}.py", f"{folder}/__pycache__/{stem}{_BEHIND}"
    try:
        content = _read(compiled)
        status = stat(source)
    except OSError:
        return None
    version = int(status.st_mtime), status.st_size
    wanted = b"".join((number & 0xFFFFFFFF).to_bytes(4, "little") for number in version)
    if content[:_START] != _HEAD + wanted:
        return None
    code = loads(memoryview(content)[_START:])
    _fix_co_filename(code, source)  # it may have been compiled by another name
    spec = ModuleSpec(name, Loader(name, source, code), origin=source, is_package=bool(inside))
    if inside and spec.submodule_search_locations is not None:
        spec.submodule_search_locations.append(inside)
    spec.cached = compiled
    spec.has_location = True
    return spec


def _read(path: str) -> bytes:
    fd = open(path, O_RDONLY | O_CLOEXEC)
    try:
        return read(fd, fstat(fd).st_size)
    finally:
        close(fd)
