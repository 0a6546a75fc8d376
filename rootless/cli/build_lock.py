"""`build --lock` and `--locked`: the file beside the Dockerfile that says what came from elsewhere.

--lock writes what the build used. --locked takes images by the digests that the file has, and
refuses, before anything runs, what is another than it was.
"""

from __future__ import annotations

from rootless.build import lock
from rootless.build.lock import Lock
from rootless.cli import files
from rootless.errors import NotFoundError, RootlessError, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from rootless.build.lock import Used
    from rootless.build.request import Request
    from rootless.cli.contexts import Found
    from rootless.cli.dockerfiles import Written
    from rootless.cli.parser import Arguments
    from rootless.oci.reference import Reference
    from rootless.store import Store

_MOST_SHOWN = 20


class Locking:
    """What the flags ask for, of one build."""

    def __init__(self, arguments: Arguments, context: Found, written: Written) -> None:
        if arguments.lock and arguments.locked:
            raise UsageError("--lock and --locked cannot be used together")
        if context.fetched or context.text is not None or arguments.file == "-":
            raise UsageError(
                "a lock lies beside the Dockerfile, which is in no directory here",
                hint="write the Dockerfile into a file, and name that with -f",
            )
        self._holds: bool = arguments.locked
        self._path = f"{written.name}.lock"
        self._used: list[Used] = []
        self._lock = self._read()

    def _read(self) -> Lock:
        try:
            return lock.parse(files.read(self._path), self._path)
        except NotFoundError:
            if not self._holds:
                return Lock({})
            raise NotFoundError(
                f"there is no {self._path}", hint="build with --lock once, which writes it"
            ) from None

    @property
    def pins(self) -> Lock:
        """What images must be taken; empty unless --locked is given."""
        return self._lock if self._holds else Lock({})

    def check(
        self, store: Store, requests: Sequence[Request], given: frozenset[Reference]
    ) -> list[Request]:
        """Find out what the build uses; RootlessError if that is another than --locked allows. The
        requests for just that.

        What the command line has `given` for an image's name is no matter of the lock.
        """
        found = [lock.find(store, request, given) for request in requests]
        self._used = [one for used in found for one in used]
        if self._holds and (drifts := list(self._lock.drifts(self._used))):
            name = requests[0].plan.dockerfile.name
            shown = [_told(name, one, was) for one, was in drifts[:_MOST_SHOWN]]
            raise RootlessError(
                f"{self._path} does not hold what is there now:\n" + "\n".join(shown),
                hint="find out what changed; build --lock takes it as it is now",
            )
        pins = [{one.fetched: one.now for one in used if one.fetched} for used in found]
        return [one.replace(pins=each) for one, each in zip(requests, pins, strict=True)]

    def write(self) -> None:
        """After the build, with --lock: write the file."""
        if not self._holds:
            with files.replacing(self._path) as fd:
                text = self._lock.updated(self._used).dump()
                files.write_all(fd, text.encode(), self._path)


def _told(name: str, one: Used, was: str | None) -> str:
    place = f"{name}:{one.location.start_line}"
    if was is None:
        return f"{place}: {one.name} is not in the lock; it is {one.now}"
    return f"{place}: {one.name} was {was}, is {one.now}"
