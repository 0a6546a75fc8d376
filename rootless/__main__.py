"""`python -m rootless` and the `rootless` command."""

from __future__ import annotations

import _signal

if _signal.getsignal(_signal.SIGINT) is _signal.default_int_handler:
    # There is nothing to clean up yet: Ctrl-C just ends it, until `main` is there to catch it.
    _signal.signal(_signal.SIGINT, _signal.SIG_DFL)

import gc
import os
import sys
from _io import BufferedWriter, FileIO, TextIOWrapper
from errno import EDQUOT, EFBIG, EIO, ENOSPC

from rootless import finder

finder.install()  # before anything else of ours is loaded

from rootless.cli import main as command_line  # noqa: E402

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    from _typeshed import ReadableBuffer


def main() -> NoReturn:
    """Carry out the command line and end the process.

    Without taking the interpreter down in good order: that costs 3 ms, and all that matters has
    been written. An exception that is a bug of ours still ends in the usual way.
    """
    # Loading the modules of a verb would set off the collector some fifteen times, for nothing.
    gc.set_threshold(20_000)
    if sys.getfilesystemencoding() != "utf-8" and sys.executable:
        # Names in images and Dockerfiles are UTF-8 whatever the locale, as for Python from 3.15.
        os.execv(sys.executable, [sys.executable, "-X", "utf8", *sys.orig_argv[1:]])
    _make_ordinary()
    code = command_line.main()
    try:
        if sys.stderr:
            sys.stderr.flush()
    finally:
        os._exit(code)


class _Remarks(FileIO):
    """Standard error: where there is no room for what is said, or its terminal is gone, the work
    goes on all the same.
    """

    def write(self, content: ReadableBuffer, /) -> int:
        try:
            return super().write(content)
        except OSError as error:
            if error.errno not in (ENOSPC, EDQUOT, EFBIG, EIO):
                raise
            return len(memoryview(content))


def _make_ordinary() -> None:
    """Undo what odd parents hand down: closed standard streams, children nobody waits for, and a
    umask that closes our files to ourselves.
    """
    if sys.stderr:
        remarks = BufferedWriter(_Remarks(2, "w", closefd=False))
        sys.stderr = TextIOWrapper(remarks, sys.stderr.encoding, line_buffering=True)
    while (fd := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(fd, True)  # noqa: FBT003 - os takes it by position
    os.close(fd)
    _signal.signal(_signal.SIGCHLD, _signal.SIG_DFL)
    os.umask(os.umask(0o077) & 0o077)


if __name__ == "__main__":
    main()
