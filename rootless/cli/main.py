"""From argv to an exit code: find the verb, parse, call its handler; the one handler of errors.

Exit codes are docker's: 125 for a wrong flag and for `run` itself, 1 for other errors, 126 and 127
for a command that cannot be executed or is not there, 128+n for signals, else the container's own.
Anything that is not a RootlessError is a bug and shows its traceback.
"""

from __future__ import annotations

import os
import stat
import sys
from errno import EDQUOT, EFBIG, EIO, EMFILE, ENFILE, ENOMEM, ENOSPC

from rootless import __version__, rung
from rootless.cli import parser, settings, table
from rootless.errors import RootlessError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Handler = Callable[[settings.Settings, parser.Arguments], int]


_LIMITS = (EFBIG, EMFILE, ENFILE, ENOMEM)


def main(argv: Sequence[str] | None = None) -> int:
    """Carry out a command line; the exit code."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name) or open(os.devnull, "w")  # noqa: SIM115 - it was closed
        # by lines also into a pipe or a file: what happened first is read first
        stream.reconfigure(errors="backslashreplace", line_buffering=True)
        setattr(sys, name, stream)
    words = _words() if argv is None else argv
    if "_ROOTLESS_COMPLETE" in os.environ:
        return _complete()
    try:
        _catch_interrupts()
        code = _carry_out(words)
        _flush()
    except KeyboardInterrupt:
        from rootless import interrupts

        print("interrupted", file=sys.stderr)
        return interrupts.exit_code()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # nobody reads: exiting must not complain
        return 141
    except (OSError, MemoryError, ImportError) as error:
        complaint = _explain(error)
        if complaint is None:
            raise
        _report(complaint)
        return 1
    return code


def _flush() -> None:
    """Write what is left; a terminal that was closed meanwhile (EIO) is nobody's loss."""
    try:
        sys.stdout.flush()
    except OSError as error:
        if error.errno != EIO or not stat.S_ISCHR(os.fstat(1).st_mode):
            raise


def _catch_interrupts() -> None:
    """From here on Ctrl-C raises; `__main__` let it end the process. Ignored, it stays so."""
    import _signal

    if _signal.getsignal(_signal.SIGINT) is _signal.SIG_DFL:
        _signal.signal(_signal.SIGINT, _signal.default_int_handler)
        sys.unraisablehook = _interrupt_again


def _interrupt_again(unraisable: sys.UnraisableHookArgs) -> None:
    """Ctrl-C where nothing can be raised, as in a callback of the import system, comes again.

    From a thread, which ends with that: raised here it would be lost like the first.
    """
    if unraisable.exc_type is KeyboardInterrupt:
        import _thread

        _thread.start_new_thread(_thread.interrupt_main, ())
    else:
        sys.__unraisablehook__(unraisable)


def _explain(error: OSError | MemoryError | ImportError) -> RootlessError | None:
    """What a limit of this machine did not allow; None when it is another matter."""
    from rootless import complaints

    if isinstance(error, MemoryError):
        error = OSError(ENOMEM, "")
    if isinstance(error, ImportError):  # of a compiled module: the loader says why in words only
        error = OSError(EMFILE if os.strerror(EMFILE) in str(error) else 0, "")
    if error.errno in (ENOSPC, EDQUOT):
        return RootlessError(f"{error.filename or 'standard output'}: {error.strerror}")
    return complaints.explain_limit(error) if error.errno in _LIMITS else None


def _is_podman() -> bool:
    """Whether we are called by that name, as through a link: tools for podman are answered then."""
    return sys.argv[0].rpartition("/")[2] == "podman"


def _words() -> Sequence[str]:
    """Called as kaniko calls its program, as through a link, we are that verb."""
    called = ["kaniko"] if sys.argv[0].rpartition("/")[2] == "executor" else []
    return [*called, *sys.argv[1:]]


def _version() -> str:
    if _is_podman():
        from rootless.cli import podman

        return f"podman version {podman.LIKE}"
    return f"rootless version {__version__}"


def _carry_out(words: Sequence[str]) -> int:
    debug, failure = False, 125
    verb = table.TOP
    try:
        if name := os.environ.get("ROOTLESS_RUNG"):
            rung.force(name)
        top = parser.parse(table.TOP, words)
        debug = top.debug
        if top.version:
            print(_version())
            return 0
        name, rest = table.find(top.words)
        if not name:
            return _without_verb(top.words)
        verb = table.load(name)
        arguments = parser.parse(verb, rest)
        given = settings.read(os.environ, root=top.root, debug=debug, homeless=verb.homeless)
        given = given.replace(as_podman=_is_podman())
        if given.root and not rung.forced():
            _choose_copies(given.root)
        failure = verb.failure  # the command line is understood: from here on it is the verb's
        return _carry_out_verb(verb, given, arguments)
    except parser.HelpRequest:
        return _help(verb.name.split())
    except RootlessError as error:
        if debug:
            sys.excepthook(*sys.exc_info())
        _report(error)
        return failure if error.exit_code == RootlessError.exit_code else error.exit_code


def _choose_copies(root: str) -> None:
    """Where overlayfs would be refused: by the kernel, or in a container, whose images lie on its
    overlay as a rule.
    """
    if rung.FOR_COPIES <= rung.kernel() < rung.FOR_MOUNTS:
        why = f"Linux {os.uname().release} is too old for mounts of users"
        _stand_as_root(why, "a kernel from 5.12 on")
        return
    if _is_on_overlay(root):
        _stand_as_root(
            f"{root} lies on an overlay, on which no other can be stacked",
            "choose a folder on another file system, such as a volume: --root DIR, ROOTLESS_ROOT",
        )


def _is_on_overlay(place: str) -> bool:
    while not os.path.isdir(place):
        place = os.path.dirname(place)
    device = os.stat(place).st_dev
    if os.major(device):  # a disk
        return False
    number = b"%d:%d" % (os.major(device), os.minor(device))
    with open("/proc/self/mountinfo", "rb") as mounts:
        return any(b" - overlay " in line and line.split()[2] == number for line in mounts)


def _stand_as_root(why: str, cure: str) -> None:
    """Of this container, or of a user namespace with a range of ids, but without mounts."""
    from rootless import userns

    if userns.available().is_range and (os.getuid() or userns.is_root_for_copies()):
        rung.force(rung.ROOT, why, cure)


def _carry_out_verb(verb: table.Verb, given: settings.Settings, arguments: parser.Arguments) -> int:
    """Whatever the verb meets where it works that is no fault of ours is one sentence."""
    try:
        return _handler(verb.handler)(given, arguments)
    except OSError as error:
        from rootless import complaints

        if complaint := complaints.explain_place(error, given.root):
            raise complaint from error
        raise


def _handler(name: str) -> Handler:
    module, _, function = name.partition(":")
    handler: Handler = getattr(__import__(module, fromlist=[function]), function)
    return handler


def _help(words: Sequence[str]) -> int:
    from rootless.cli import click_app

    return click_app.show_help(words)


def _without_verb(words: Sequence[str]) -> int:
    """Nothing at all or a bare group: its help. Anything else is a mistake."""
    if not words or (words[0] in table.GROUPS and words[1:] in ((), ("--help",), ("-h",))):
        return _help(words[:1])
    from rootless.cli import unsupported

    raise unsupported.verb(words)


def _complete() -> int:
    from rootless.cli import completion

    return completion.complete(os.environ["_ROOTLESS_COMPLETE"])


def _report(error: RootlessError) -> None:
    """`error: …`, and after an empty line `hint: …`, on standard error."""
    from rootless.cli import words

    colour = words.colours(sys.stderr, os.environ)
    print(
        f"{words.paint('error:', '1;31', colour)} {words.escape(error.message, lines=True)}",
        file=sys.stderr,
    )
    if error.hint:
        print(
            f"\n{words.paint('hint:', '1;36', colour)} {words.escape(error.hint, lines=True)}",
            file=sys.stderr,
        )
