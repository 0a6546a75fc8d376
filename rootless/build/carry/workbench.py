"""Carrying out one step: a snapshot is made, changed by the step, and handed on to be packed.

Runs in the builder. It is imported, and its directories, its system call filter and its worker
are made, only when a step is not cached. A crash leaves owned directories in `tmp/`.
"""

from __future__ import annotations

import os
from time import time_ns

from rootless import roots, runspec
from rootless.build.carry import files
from rootless.build.carry.clamping import Clamp, clamp
from rootless.build.carry.commands import Furnished, Runner
from rootless.build.carry.layering import Finisher
from rootless.build.inputs import contents, tree
from rootless.build.plan import times
from rootless.build.plan.actions import CopyFiles, MakeFolder, RunCommand
from rootless.build.plan.sources import FolderSource, UrlSource
from rootless.build.request import Output, Warned
from rootless.build.stack import Entry, Stack
from rootless.errors import RootlessError
from rootless.sandbox.errors import SandboxError
from rootless.store import skeleton, snapshots

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from rootless.build.cache import Cache
    from rootless.build.cache.key import Key
    from rootless.build.inputs.context import Context
    from rootless.build.inputs.remotes import Remotes
    from rootless.build.inputs.tree import Source
    from rootless.build.plan.actions import Action
    from rootless.build.request import Report, Request, Step
    from rootless.roots import Root
    from rootless.sandbox.spec import Spec
    from rootless.store import Store
    from rootless.store.snapshots import Snapshot

    Sources = Callable[[Action], tuple[Source, ...]]

_HINTS = {
    126: "a file that is not executable is not run: chmod +x it, or COPY --chmod=755",
    127: "a script that is there is 'not found' when its lines end in CRLF, or when its first line "
    "names an interpreter that the image does not have",
}
_LOOK = "open a shell where it failed: rootless build --debug-shell"
_REFUSED = (b"not permitted", b"ermission denied", b"setuid", b"nosuid")
_SHOWN = 3  # names of files in one warning


class Workbench:
    """What the steps of one build are carried out with."""

    def __init__(
        self,
        store: Store,
        request: Request,
        report: Report,
        context: Context | None,
        remotes: Remotes,
        cache: Cache,
    ) -> None:
        self._store = store
        self._report = report
        self._context = context
        self._remotes = remotes
        self._epoch = request.epoch
        self._finisher = Finisher(
            store, cache, request.surroundings.secrets, lambda text: report(Warned(text))
        )
        self._cache = cache
        self._ids = request.enter()
        hostname = request.plan.hostname
        self._runner = Runner(self._ids, request.network, request.surroundings, hostname)
        self._given = request.surroundings
        self._inspect = request.inspect

    def perform(
        self, event: Step, action: Action, stack: Stack, sources: Sources, key: Key
    ) -> None:
        """Put the layer that `action` makes on `stack`.

        `sources` finds the files of the context; `key` is what the layer is recorded under, and
        `key.moment` the time of what it makes.
        """
        started = time_ns()
        self._finisher.publish_ready()
        self._finisher.discard_retired()
        if not all(one.is_published for one in key.mounted.values()):
            self._finisher.finish()  # a cache is known by the names of the layers it begins with
        snapshot = snapshots.create(self._store)

        def present() -> Root:
            return self._present(action, stack, snapshot)

        try:
            root = present()
            if isinstance(action, RunCommand):
                self._run(event, action, present, sources, key)
            else:
                self._write(action, root, sources(action), key)
            diff = root.commit()
            clamp(diff, self._clamp(action, key.moment, started))
        except BaseException:
            snapshot.discard()
            raise
        self._finisher.submit(stack, snapshot, Entry(diff, created=times.text(key.moment)), key)

    def _clamp(self, action: Action, moment: int, started: int) -> Clamp:
        """Copied files keep their times, but for an epoch: nobody needs to look at each then."""
        if not isinstance(action, CopyFiles):
            return Clamp(moment, started, moment)
        is_plain = not (action.contents or action.unpacks or action.remotes)
        return Clamp(moment, started, self._epoch, folders_only=is_plain and self._epoch is None)

    def contents(self, action: CopyFiles, origin: Stack) -> str:
        """The digest of what a COPY --from finds in the layers of `origin`."""
        with roots.view(self._store, origin.paths) as view:
            return contents.of_image(view.fd, _select(view.fd, action))

    def finish(self) -> None:
        """Wait until all layers are published."""
        self._finisher.finish()

    def close(self) -> None:
        """Throw away what is unfinished, and what was fetched."""
        roots.let_go()
        self._finisher.close()
        self._remotes.close()

    def _present(self, action: Action, stack: Stack, snapshot: Snapshot) -> Root:
        """The tree that a step changes; a command needs mount points in it."""
        is_command = isinstance(action, RunCommand)
        bottom = skeleton.path(self._store) if is_command else roots.empty(snapshot)
        below = _below(action, stack)
        return roots.present(
            self._store, below.paths, snapshot.path, bottom=bottom, names=below.names
        )

    def _run(
        self,
        event: Step,
        action: RunCommand,
        present: Callable[[], Root],
        sources: Sources,
        key: Key,
    ) -> None:
        refused = False

        def relay(content: bytes) -> None:
            nonlocal refused
            refused = refused or any(word in content for word in _REFUSED)
            self._report(Output(event, content))

        def tell(text: str) -> None:
            self._report(Output(event, f"{text}\n".encode()))

        furnished = self._furnish(action, present(), sources, key, tell)
        try:
            status = self._attempt(action, present, furnished, relay)
        finally:
            furnished.close()
        if key.parts:
            key.combine()
        if status:
            command = " ".join(action.argv)
            look = None if self._inspect else _LOOK
            wants = runspec.wants() if refused else ""
            hints = (look, runspec.absence(), wants)
            hint = _HINTS.get(status) or "\n".join(filter(None, hints))
            raise RootlessError(
                f'process "{command}" did not complete successfully: exit code: {status}', hint=hint
            )

    def _attempt(
        self,
        action: RunCommand,
        present: Callable[[], Root],
        furnished: Furnished,
        relay: Callable[[bytes], None],
    ) -> int:
        """The status of a command; where it fails somebody may look around.

        Layers below that were published meanwhile are where their names say.
        """

        def shell(terminal_fd: int) -> Spec:
            return self._runner.shell(action, present(), furnished, terminal_fd)

        inspect = self._inspect or (lambda _: None)
        try:
            status = self._runner.run(action, present(), furnished, relay, self._finisher)
        except SandboxError:
            inspect(shell)
            raise
        if status:
            inspect(shell)
        return status

    def _furnish(
        self,
        action: RunCommand,
        root: Root,
        sources: Sources,
        key: Key,
        tell: Callable[[str], None],
    ) -> Furnished:
        """What the mounts of a command need."""
        if not (action.mounts or action.devices or self._given.mounts):
            return Furnished(root)
        from rootless.build.carry.mounts import Materials, furnish

        materials = Materials(self._store, self._context, self._cache, self._given)
        return furnish(materials, action, key, sources, root, tell)

    def _write(
        self,
        action: CopyFiles | MakeFolder,
        presented: Root,
        sources: tuple[Source, ...],
        key: Key,
    ) -> None:
        with _AnyMode(), self._store.writing(), presented.mount() as root:
            if isinstance(action, MakeFolder):
                files.make_folder(root.fd, action)
            elif key.origin:
                with roots.view(self._store, key.origin.paths) as view:
                    found = _select(view.fd, action)
                    files.copy(root.fd, root.target, action, found, view.fd, keeps_owners=True)
                    if key.inputs is None:
                        key.inputs = contents.of_image(view.fd, found)
            elif self._context:
                self._copy(root.fd, root.target, action, sources, key, self._context)
            else:
                files.copy(root.fd, root.target, action, (), -1)
            if isinstance(action, CopyFiles):
                self._fetch(root.fd, root.target, action, key)

    def _copy(
        self,
        root_fd: int,
        root: str,
        action: CopyFiles,
        sources: tuple[Source, ...],
        key: Key,
        context: Context,
    ) -> None:
        """From the context, where others may write: `key` becomes that of what was read."""
        changes = context.changes()
        keeps_owners = context.keeps_owners
        files.copy(root_fd, root, action, sources, context.fd, changes, keeps_owners=keeps_owners)
        if not changes.copied:
            return
        expected, key.listing = key.inputs, context.listing(sources, changes)
        key.inputs = contents.digest(key.listing)
        if action.remotes:
            key.inputs = self._remotes.digest(key.inputs, action.remotes)
        if key.inputs != expected and changes.names:
            self._report(Warned(_changed(sorted(changes.names))))

    def _fetch(self, root_fd: int, root: str, action: CopyFiles, key: Key) -> None:
        """What ADD takes from elsewhere, and what a context that has a name holds."""
        for one in action.remotes:
            fd, found = self._remotes.open(one, action.exclude)
            how = action.replace(contents=(), unpacks=isinstance(one, UrlSource) and one.unpacks)
            try:
                if isinstance(one, FolderSource):
                    self._load(root_fd, root, how, found, one)
                else:
                    files.copy(root_fd, root, how, found, fd)
            finally:
                os.close(fd)
        if action.remotes and not action.sources:
            key.inputs = self._remotes.digest("", action.remotes)

    def _load(
        self,
        root_fd: int,
        root: str,
        action: CopyFiles,
        found: tuple[Source, ...],
        one: FolderSource,
    ) -> None:
        """A directory of the user's, where others may write, too."""
        context = self._remotes.context(one)
        changes = context.changes()
        files.copy(root_fd, root, action, found, context.fd, changes)
        if changes.copied:
            self._remotes.changed(one, changes)


class _AnyMode:
    """While files are placed, no umask interferes with their modes."""

    def __enter__(self) -> None:
        self._umask = os.umask(0)

    def __exit__(self, *_: object) -> None:
        os.umask(self._umask)


def _select(root_fd: int, action: CopyFiles) -> tuple[Source, ...]:
    exclude, parents = action.exclude, action.parents
    return tree.select_all(root_fd, action.sources, exclude=exclude, parents=parents)


def _changed(names: list[str]) -> str:
    shown = ", ".join(names[:_SHOWN]) + (", …" if len(names) > _SHOWN else "")
    return (
        f"{shown} changed while the build ran: the image has what was read; "
        "name what is no part of the image in .dockerignore"
    )


def _below(action: Action, stack: Stack) -> Stack:
    """What a step's files are put on: --link sees nothing of the layers below."""
    return Stack() if isinstance(action, CopyFiles) and action.link else stack
