"""A build as other programs read it: BuildKit's SolveStatus, a JSON object a line.

Each has some of `vertexes`, `statuses`, `logs` and `warnings`; texts of others are base64. A step
is a vertex; a step that changes is told anew, whole. A command's two outputs are one here, so all
logs have stream 1. A pull of a base image is a vertex too, its layers are statuses.
"""

from __future__ import annotations

from binascii import b2a_base64
from time import gmtime, strftime, time_ns

from rootless import leanjson
from rootless.build import request
from rootless.cli.progress.output import title
from rootless.oci.digest import Digest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any, Self, TextIO

    from rootless.cli.progress.output import Given
    from rootless.cli.settings import Settings
    from rootless.image.transport import Event

_DEFINITION = "[internal] load build definition"  # what BuildKit hangs warnings on
_OUTPUT = 1  # the stream of a log, as of a process
_NAMES = {"waiting": "waiting", "downloading": "downloading", "unpacking": "extracting"}


class RawJson:
    """Writes each event to `out` as it comes."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._running: dict[request.Step, dict[str, Any]] = {}
        self._digests: dict[int, str] = {}
        self._total = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        for vertex in self._running.values():
            self._end(vertex, error="context canceled")

    def __call__(self, event: request.Event) -> None:
        match event:
            case request.Started():
                self._running[event.step] = self._begun(event.step)
                self.write(vertexes=[self._running[event.step]])
                if event.reason:
                    self(request.Output(event.step, f"not cached: {event.reason}\n".encode()))
            case request.Output():
                log = {"vertex": self._digest(event.step), "stream": _OUTPUT}
                self.write(logs=[{**log, "data": _base64(event.content), "timestamp": _now()}])
            case request.Cached():
                self._end(self._begun(event.step), cached=True)
            case request.Done():
                self._end(self._running.pop(event.step))
            case request.Failed():
                vertex = self._running.pop(event.step, None) or self._begun(event.step)
                self._end(vertex, error=event.message)
            case request.Warned():
                self._warn(event.message)
            case request.Exported():
                pass

    def rest(self) -> None:
        """Nothing is drawn here."""

    def pulling(self, given: Settings, name: str) -> Pulling:  # noqa: ARG002
        """What tells of the layers of a base image."""
        return Pulling(self, name)

    def exported(self, given: Given) -> None:
        """The vertex that ends a build."""
        vertex = vertex_of(given.heading, started=True)
        self.write(vertexes=[vertex])
        now = _now()
        status = {"vertex": vertex["digest"], "current": 0, "timestamp": now, "started": now}
        self.write(statuses=[{"id": line, **status, "completed": now} for line in given.lines])
        self._end(vertex)

    def write(self, **status: object) -> None:
        """One line."""
        self._out.write(leanjson.dumps(status).decode() + "\n")
        self._out.flush()

    def _begun(self, step: request.Step) -> dict[str, Any]:
        """A step that begins, after the one before it in its stage."""
        before = self._digests.get(step.number - 1) if step.place > 1 else None
        return vertex_of(title(step), [before] if before else (), self._digest(step), started=True)

    def _digest(self, step: request.Step) -> str:
        """What names a step in this build: not what it makes, which only its end shows."""
        if step.number not in self._digests:
            self._digests[step.number] = _digest(f"{step.number} {title(step)}")
        return self._digests[step.number]

    def _end(self, vertex: dict[str, Any], **how: object) -> None:
        self.write(vertexes=[{**vertex, "completed": _now(), **how}])

    def _warn(self, message: str) -> None:
        vertex = vertex_of(_DEFINITION)
        self.write(vertexes=[vertex])
        short = _base64(message.encode("utf-8", "surrogateescape"))
        self.write(warnings=[{"vertex": vertex["digest"], "level": 1, "short": short}])


class Pulling:
    """The layers of a base image."""

    def __init__(self, out: RawJson, name: str) -> None:
        self._out = out
        self._vertex = vertex_of(f"[internal] pull {name}")
        self._started: dict[str, str] = {}

    def __enter__(self) -> Self:
        self._vertex["started"] = _now()
        self._out.write(vertexes=[self._vertex])
        return self

    def __exit__(self, *raised: object) -> None:
        ended = {**self._vertex, "completed": _now()}
        error = raised[1]
        self._out.write(vertexes=[{**ended, "error": str(error)} if error else ended])

    def __call__(self, event: Event) -> None:
        now = _now()
        status = {
            "id": event.layer,
            "vertex": self._vertex["digest"],
            "name": _NAMES.get(event.state, event.state),
            "current": event.current,
            "total": event.total,
            "timestamp": now,
            "started": self._started.setdefault(event.layer, now),
        }
        if event.state in ("done", "exists"):
            status["completed"] = now
        self._out.write(statuses=[status])


def vertex_of(
    name: str, inputs: Sequence[str] = (), digest: str = "", *, started: bool = False
) -> dict[str, Any]:
    """A vertex as its first line has it."""
    vertex: dict[str, Any] = {"digest": digest or _digest(name)}
    if inputs:
        vertex["inputs"] = [*inputs]
    vertex["name"] = name
    if started:
        vertex["started"] = _now()
    return vertex


def _digest(name: str) -> str:
    return str(Digest.of(name.encode("utf-8", "surrogateescape")))


def _base64(content: bytes) -> str:
    return b2a_base64(content, newline=False).decode("ascii")


def _now() -> str:
    """RFC 3339 with nanoseconds, as Go writes and reads it."""
    seconds, rest = divmod(time_ns(), 1_000_000_000)
    return f"{strftime('%Y-%m-%dT%H:%M:%S', gmtime(seconds))}.{rest:09}Z"
