"""One line of `rootless doctor`, and a trial in a child: nothing of this process changes by it."""

from __future__ import annotations

from rootless import complaints, process
from rootless.errors import RootlessError
from rootless.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


class Check(Record):
    """What was found: `hint` is the exact fix when it is not ok.

    What is not `required` is something to know: images can be built and run without it.
    """

    name: str
    ok: bool
    detail: str
    hint: str | None = None
    required: bool = True


def passed(name: str, detail: str) -> Check:
    """It is as it should be."""
    return Check(name, ok=True, detail=detail)


def failed(name: str, detail: str, hint: str | None, *, required: bool = True) -> Check:
    """It is not, and the way to mend it."""
    return Check(name, ok=False, detail=detail, hint=hint, required=required)


def note(name: str, detail: str, hint: str | None) -> Check:
    """It is not, and nothing stops by that."""
    return failed(name, detail, hint, required=False)


def complaint(trial: Callable[[], object]) -> RootlessError | None:
    """What `trial`, in a child, complained about; None when it went well."""
    try:
        process.run(trial)
    except OSError as error:
        return RootlessError(error.strerror or str(error))
    except RootlessError as error:
        hint = error.hint.removesuffix(complaints.SEE_DOCTOR) if error.hint else None
        return RootlessError(error.message, hint=hint)
    return None
