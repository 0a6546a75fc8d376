"""Targets built side by side: each by `build` itself, in a process of its own.

A target that others are made from comes before them. What a build says is passed on line by line
with the target's name before it. The first that fails interrupts the others, which clean up after
themselves; so does an interrupt. They end with this process, whatever ends it. The builds share
what is in the store: a step that two targets have is cached for the one that comes to it later,
and stages that several need come before them.
"""

from __future__ import annotations

import _signal
import os
import sys

from rootless import leanjson, process
from rootless.bake.definition import linked_names
from rootless.bake.evaluation import is_name
from rootless.cli import bake_shared, bake_words
from rootless.cli.bake_lines import Speaker
from rootless.cli.build import build
from rootless.errors import RootlessError
from rootless.store import Store
from rootless.store.staging import Staging

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any, TextIO

    from rootless.bake.definition import Resolved
    from rootless.cli.bake_allowed import Allowed
    from rootless.cli.bake_words import Command
    from rootless.cli.settings import Settings

_CHUNK = 1 << 16
_LONGEST_LINE = 1 << 16
_NO_IMAGE = "sha256:" + "0" * 64  # stands for one that is not built yet


def check(resolved: Resolved) -> None:
    """RootlessError for the first target that `build` cannot do."""
    images = dict.fromkeys(resolved.targets, _NO_IMAGE)
    for name, target in resolved.targets.items():
        _command(resolved, name, images)
        if len(resolved.targets) > 1 and any(
            one.get("dest") == "-" for one in target.get("output", ())
        ):
            raise RootlessError(
                f"target {name}: standard output is for one target",
                hint=f"build it alone, or name a file: --set {name}.output=type=tar,dest=FILE",
            )


def commands(resolved: Resolved) -> Iterator[str]:
    """The targets as command lines for a shell, in the order in which they could be typed."""
    from rootless.cli.bake_shell import line

    images = {name: f"IMAGE_OF_{name}" for name in resolved.targets}
    for name in in_order(needs(resolved)):
        yield line(name, _command(resolved, name, images))


def _command(resolved: Resolved, name: str, images: dict[str, str]) -> Command:
    linked = name in resolved.linked
    return bake_words.command(name, resolved.targets[name], images, linked=linked)


def needs(resolved: Resolved) -> dict[str, set[str]]:
    """Every target with those that it is made from."""
    return {name: set(linked_names(target)) for name, target in resolved.targets.items()}


def in_order(needed: Mapping[str, set[str]]) -> list[str]:
    """Every target after those that it needs."""
    found: list[str] = []
    left = sorted(needed)
    while left:
        ready = [one for one in left if needed[one] <= set(found)]
        if not ready:
            raise RootlessError(f"these targets wait for each other: {', '.join(left)}")
        found += ready
        left = [one for one in left if one not in ready]
    return found


def run(
    given: Settings, resolved: Resolved, how: str, jobs: int, allowed: Allowed
) -> dict[str, dict[str, Any]]:
    """Build all targets; the metadata of each by its name. `how` is --progress.

    What a target may reach is looked at again where it begins: those before it may have written.
    """
    with Staging(Store(given.root)) as staging:
        if len(resolved.targets) == 1:
            return _alone(given, resolved, how, staging.path)
        kitchen = _Kitchen(given, resolved, how, staging.path, allowed)
        try:
            while kitchen.waiting or kitchen.building:
                kitchen.begin(jobs)
                kitchen.listen()
        finally:
            kitchen.end()
        return kitchen.made


def _alone(given: Settings, resolved: Resolved, how: str, folder: str) -> dict[str, dict[str, Any]]:
    """The only target is built by this process, and shown as `build` shows it."""
    (name,) = resolved.targets
    command = _told(_command(resolved, name, {}), name, how, folder)
    connect(command.stdin, 1, 2)
    try:
        code = build(given, bake_words.arguments(name, command))
    except RootlessError as error:
        raise _failed(name, error) from None
    if code != 0:
        raise _ended(name, code)
    return {name: _metadata(folder, name)}


def _told(command: Command, name: str, how: str, folder: str) -> Command:
    """The command that also says where it writes what it made."""
    path = os.path.join(folder, name)
    extra = (f"--metadata-file={path}.json", f"--progress={how}")
    return command.replace(words=(*extra, *command.words))


def _metadata(folder: str, name: str) -> dict[str, Any]:
    """What the build of a target has written; nothing for a check."""
    path = os.path.join(folder, f"{name}.json")
    if not os.path.exists(path):
        return {}
    with open(path, "rb") as file:
        found: dict[str, Any] = leanjson.loads(file.read(), path)
    return found


def _image(folder: str, name: str) -> str:
    with open(os.path.join(folder, f"{name}.id")) as file:
        return file.read().strip()


def _failed(name: str, error: RootlessError) -> RootlessError:
    failure = RootlessError(f"target {name}: {error.message}", hint=error.hint)
    failure.exit_code = 1
    return failure


def _ended(name: str, code: int) -> RootlessError:
    failure = RootlessError(f"target {name} ended with exit code {code}")
    failure.exit_code = code
    return failure


class _Oven:
    """One target that is being built."""

    def __init__(self, name: str, child: process.Child, out_fd: int, err_fd: int) -> None:
        self.name = name
        self.child = child
        self.streams: dict[int, tuple[TextIO, bytearray]] = {
            out_fd: (sys.stdout, bytearray()),
            err_fd: (sys.stderr, bytearray()),
        }


class _Kitchen:
    """All targets: those that wait, those being built, and what was made."""

    def __init__(
        self, given: Settings, resolved: Resolved, how: str, folder: str, allowed: Allowed
    ) -> None:
        self._given = given
        self._allowed = allowed
        self._needs = needs(resolved)
        self._images: dict[str, str] = {}
        """A target that others are made from → the one of which the image is taken."""
        self._resolved = self._with_images(self._sharing(resolved))
        self._how = how
        self._folder = folder
        self._speaker = Speaker(self._needs, how, given)
        self.waiting = in_order(self._needs)
        self.building: dict[str, _Oven] = {}
        self.made: dict[str, dict[str, Any]] = {}
        self._done: set[str] = set()

    def _with_images(self, resolved: Resolved) -> Resolved:
        """What gives files only is built for its image, too, where others are made from it."""
        targets = dict(resolved.targets)
        for name in {one for target in targets.values() for one in linked_names(target)}:
            self._images[name] = name
            outputs = targets[name].get("output", ())
            if any(one["type"] in ("local", "tar") for one in outputs):
                image = self._images[name] = f"{name} for others"
                targets[image] = {**targets[name], "tags": [], "output": []}
                users = [user for user, needed in self._needs.items() if name in needed]
                self._needs[image] = {*self._needs[name], name}
                for user in users:
                    self._needs[user] |= {image}
        return resolved.replace(targets=targets)

    def _sharing(self, resolved: Resolved) -> Resolved:
        """With stages that several targets need as targets of their own, which come first."""
        targets = dict(resolved.targets)
        before = ""
        for one in bake_shared.find(resolved):
            name = one.name
            if one.target is not None:
                while name in targets:
                    name += " again"
                targets[name] = one.target
                self._needs[name] = {before, *linked_names(one.target)} - {""}
                before = name
            for waiting in one.waiting:
                self._needs[waiting].add(name)
        return resolved.replace(targets=targets)

    def begin(self, jobs: int) -> None:
        """Start those that need nothing that is not there, as many as may be."""
        for name in list(self.waiting):
            if len(self.building) < jobs and self._needs[name] <= self._done:
                self.waiting.remove(name)
                self.building[name] = self._started(name)

    def _started(self, name: str) -> _Oven:
        self._allowed.check(name, self._resolved.targets[name])
        needed = linked_names(self._resolved.targets[name])
        images = {one: _image(self._folder, self._images[one]) for one in needed}
        command = _command(self._resolved, name, images)
        command = _told(command, name, self._how, self._folder)
        if name in self._images.values():
            path = os.path.join(self._folder, name)
            command = command.replace(words=(f"--iidfile={path}.id", *command.words))
        out, err = process.pipe(), process.pipe()
        sys.stdout.flush()
        sys.stderr.flush()

        def body(_send: process.Send) -> int:
            connect(command.stdin, out[1], err[1])
            for fd in (*out, *err):
                os.close(fd)
            code = build(self._given, bake_words.arguments(name, command))
            sys.stdout.flush()
            sys.stderr.flush()
            return code

        child = process.fork(body, f"the build of target {name}")
        os.close(out[1])
        os.close(err[1])
        return _Oven(name, child, out[0], err[0])

    def listen(self) -> None:
        """Pass on what the builds say, until one has ended."""
        import select

        poll = select.poll()
        owners = {fd: oven for oven in self.building.values() for fd in oven.streams}
        for fd in owners:
            poll.register(fd, select.POLLIN)
        while owners:
            for fd, _ in poll.poll():
                oven = owners[fd]
                if self._passed_on(oven, fd):
                    continue
                poll.unregister(fd)
                del owners[fd]
                if not oven.streams:
                    self._finish(oven)
                    return

    def _passed_on(self, oven: _Oven, fd: int) -> bool:
        """Read once; False at the end."""
        chunk = os.read(fd, _CHUNK)
        stream, pending = oven.streams[fd]
        pending += chunk
        *lines, rest = bytes(pending).split(b"\n")
        if not chunk or len(rest) > _LONGEST_LINE:
            lines, rest = [*lines, rest] if rest else lines, b""
        pending[:] = rest
        for line in filter(None, lines):
            self._speaker.say(oven.name, line, stream)
        if not chunk:
            del oven.streams[fd]
            os.close(fd)
        return bool(chunk)

    def _finish(self, oven: _Oven) -> None:
        del self.building[oven.name]
        try:
            code = oven.child.result()
        except RootlessError as error:
            raise _failed(oven.name, error) from None
        finally:
            oven.child.close()
        if code != 0:
            raise _ended(oven.name, code)
        self._done.add(oven.name)
        if is_name(oven.name):
            self.made[oven.name] = _metadata(self._folder, oven.name)

    def end(self) -> None:
        """Interrupt what is still being built; returns when all has cleaned up after itself."""
        try:
            for oven in self.building.values():
                oven.child.send_signal(_signal.SIGTERM)
            self._await_ends()
        finally:
            for oven in self.building.values():
                oven.child.kill()
                for fd in oven.streams:
                    os.close(fd)
            self.building.clear()

    def _await_ends(self) -> None:
        """Read on, for who cannot write does not end; but nobody wants to know any more."""
        import select

        poll = select.poll()
        working = {oven.child.fileno() for oven in self.building.values()}
        for fd in (*working, *(fd for oven in self.building.values() for fd in oven.streams)):
            poll.register(fd, select.POLLIN)
        while working:
            for fd, _ in poll.poll():
                if fd in working or not os.read(fd, _CHUNK):
                    poll.unregister(fd)
                    working.discard(fd)


def connect(stdin: str, out_fd: int, err_fd: int) -> None:
    """What the build reads, and where it writes."""
    if stdin:
        fd = os.memfd_create("Dockerfile")
        with open(fd, "wb", closefd=False) as file:
            file.write(stdin.encode())
        os.lseek(fd, 0, os.SEEK_SET)
    else:
        fd = os.open("/dev/null", os.O_RDONLY)
    os.dup2(fd, 0)
    os.close(fd)
    os.dup2(out_fd, 1)
    os.dup2(err_fd, 2)


def metadata_text(made: dict[str, dict[str, Any]]) -> bytes:
    """The file of --metadata-file."""
    return leanjson.dumps(dict(sorted(made.items()))) + b"\n"
