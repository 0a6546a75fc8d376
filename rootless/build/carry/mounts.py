"""What the mounts of one RUN need: files copied, layers mounted, caches held, agents listened to.

Runs in the builder, before and while a command runs; all of it ends with `Furnished.close`. Files
of the context are `shown`, of layers a mount of their own; what a command writes there is thrown
away. Secrets are handed to the sandbox as values, and exist as files in its memory only. A crash
leaves owned directories in tmp/; locks of caches and processes end with the builder.
"""

from __future__ import annotations

import os

from rootless import inroot, owners, permissions, roots
from rootless.build.cache import mounts as kept
from rootless.build.carry import agents, files
from rootless.build.carry.commands import Furnished
from rootless.build.carry.shown import Shown
from rootless.build.inputs import tree
from rootless.build.plan.actions import CopyFiles, reading
from rootless.build.plan.mounts import Bind, Cache, Secret, Ssh, Tmpfs
from rootless.errors import NotFoundError, RootlessError
from rootless.sandbox import hardware
from rootless.sandbox.mountpoints import Memory, MountPoints
from rootless.sandbox.operations import tree as ops
from rootless.sandbox.secrets import SecretFile, Secrets

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from rootless.build.cache import Cache as StepCache
    from rootless.build.cache.key import Key
    from rootless.build.inputs.context import Context
    from rootless.build.inputs.tree import Source
    from rootless.build.plan.actions import RunCommand
    from rootless.build.plan.mounts import Mount
    from rootless.build.request import Surroundings
    from rootless.roots import Root
    from rootless.sandbox.spec import Operation
    from rootless.store import Store
    from rootless.store.keeping import Held

_MOST_OF_AN_ENV = 128 << 10  # bytes of one variable: MAX_ARG_STRLEN

_REMOUNTS = "SYS_ADMIN"


class Materials:
    """What the mounts of all commands of a build are made of."""

    def __init__(
        self, store: Store, context: Context | None, cache: StepCache, given: Surroundings
    ) -> None:
        self.store = store
        self.context = context
        self.cache = cache
        self.given = given


def copy_tree(source: str, folder: str) -> None:
    """Everything below one directory into another, owners, modes and times too."""
    source_fd, folder_fd = (os.open(one, os.O_RDONLY | os.O_DIRECTORY) for one in (source, folder))
    umask = os.umask(0)
    try:
        found = tree.select_all(source_fd, ("/",))
        files.copy(folder_fd, folder, CopyFiles(("/",), "/"), found, source_fd, keeps_owners=True)
        _like(folder, source_fd)
    finally:
        os.umask(umask)
        os.close(source_fd)
        os.close(folder_fd)


def _like(folder: str, fd: int) -> None:
    """The owner and mode of an open directory for another one."""
    owners.give(folder, *owners.of_open(fd))
    permissions.give_name(folder, permissions.of_open(fd))


def furnish(
    materials: Materials,
    command: RunCommand,
    key: Key,
    sources: Callable[[CopyFiles], tuple[Source, ...]],
    root: Root,
    tell: Callable[[str], object],
) -> Furnished:
    """Make ready what `command` asks for; RootlessError says what is missing.

    `key` has the layers that `from` names, and learns what was really read of the context.
    `sources` finds the context's files; `tell` is given what the user should know meanwhile.
    """
    furnished, folder = Furnished(root), root.writable
    remounts = command.insecure or _REMOUNTS in (materials.given.capabilities or ())
    furnisher = _Furnisher(materials, key, sources, folder, furnished, tell, remounts=remounts)
    if command.mounts or command.devices or materials.given.mounts:
        os.mkdir(f"{folder}/mounts", 0o755)
        try:
            furnisher.furnish(command.mounts, command.devices)
        except BaseException:
            furnished.release()
            raise
    return furnished


class _Furnisher:
    """The work of `furnish`. Targets are collected by what is mounted on them."""

    def __init__(
        self,
        materials: Materials,
        key: Key,
        sources: Callable[[CopyFiles], tuple[Source, ...]],
        folder: str,
        furnished: Furnished,
        tell: Callable[[str], object],
        *,
        remounts: bool,
    ) -> None:
        """`remounts`: the command may make writable what is mounted read-only."""
        self._remounts = remounts
        self._materials = materials
        self._key = key
        self._sources = sources
        self._folder = folder
        self._furnished = furnished
        self._tell = tell
        self._count = 0
        self._agents = 0
        self._folders: list[str] = []
        self._files: list[str] = []
        self._memory: list[str] = []
        self._secrets: list[SecretFile] = []
        self._doors: list[agents.Door] = []

    def furnish(self, mounts: tuple[Mount, ...], named: tuple[str, ...]) -> None:
        given = [self._volume(one) for one in self._materials.given.mounts]
        held = self._hold(one for one in mounts if isinstance(one, Cache))
        made = [operation for one in mounts for operation in self._make(one, held)]
        made += [bind for one in named for bind in self._device(one)]
        if self._doors:
            child = agents.open_doors(self._doors)
            self._furnished.at_end(child.kill)
        if self._secrets:
            made.append(Secrets(self._new_folder(0o700), tuple(self._secrets)))
        points = MountPoints(
            _outermost(self._folders, self._files),
            _outermost(self._files, self._folders),
            tuple(self._memory),
            self._furnished.record,
        )
        self._furnished.operations = (points, *given, *made)

    def _make(self, mount: Mount, held: dict[Cache, str]) -> Iterable[Operation]:
        match mount:
            case Bind():
                yield self._bind(mount)
            case Cache():
                self._folders.append(mount.target)
                why = "a cache, kept from build to build"
                read_only = not mount.writable
                yield ops.Bind(held[mount], mount.target, read_only=read_only, why=why)
            case Tmpfs():
                self._folders.append(mount.target)
                self._memory.append(mount.target)
                read_only = not mount.writable
                yield Memory(mount.target, mount.size, mount.mode, read_only=read_only)
            case Secret():
                self._secret(mount)
            case Ssh():
                yield from self._ssh(mount)

    def _volume(self, one: Operation) -> Operation:
        """A mount of the command line."""
        if isinstance(one, ops.Bind):
            kind = self._folders if os.path.isdir(one.source) else self._files
            kind.append(os.path.normpath(one.path))
        return one

    def _device(self, text: str) -> Iterable[Operation]:
        granted = hardware.of_step(text)
        self._furnished.env.update(granted.env)
        return map(self._volume, granted.binds)

    def _bind(self, mount: Bind) -> Operation:
        action = reading(mount)
        if action is None:
            path = self._new_folder()
        elif action.origin is None:
            path = self._shown(action, mount)
        else:
            path = self._viewed(action, mount.source)
        (self._folders if os.path.isdir(path) else self._files).append(mount.target)
        why = "what is written there is thrown away" if mount.writable else "a bind mount"
        return ops.Bind(path, mount.target, read_only=not mount.writable, why=why, scratch=True)

    def _shown(self, action: CopyFiles, mount: Bind) -> str:
        """Files of the context, as the image would have them."""
        context, found = self._materials.context, self._sources(action)
        if context is None or not found:
            raise NotFoundError(f'"{mount.source}" is not in the build context')
        shown = Shown(context, action, found[0], self._new_folder())
        self._furnished.at_end(shown.close)
        shown.show(apart=mount.writable or self._remounts)
        if shown.changes and shown.changes.copied:
            self._key.parts[action] = context.digest(found, shown.changes)
        self._furnished.watch(lambda: self._check(shown, action, mount))
        return shown.path

    def _check(self, shown: Shown, action: CopyFiles, mount: Bind) -> None:
        """Nobody knows which files a command has read that were changed meanwhile."""
        if not shown.is_as_it_was(self._key.parts[action]):
            self._key.parts[action] = os.urandom(16).hex()
            self._tell(f"{mount.source} of the context changed: this step will be repeated")

    def _viewed(self, action: CopyFiles, source: str) -> str:
        """Files of a stage or an image: a mount of its layers that is thrown away."""
        layers = self._key.mounted[action].paths
        view = roots.view(self._materials.store, layers)
        self._furnished.at_end(view.__exit__)
        return _real(view.fd, source)

    def _hold(self, caches: Iterable[Cache]) -> dict[Cache, str]:
        """The directories of the caches, in an order that is the same for everybody: nobody waits
        for somebody who waits for him. Two mounts of one cache are one.
        """
        named: dict[str, list[Cache]] = {}
        for mount in caches:
            owners.check(mount.uid, mount.gid)
            named.setdefault(kept.name(mount, self._seed(mount)), []).append(mount)
        found: dict[Cache, str] = {}
        for name in sorted(named):
            held = self._take(name, named[name])
            self._furnished.at_end(held.release)
            found |= dict.fromkeys(named[name], held.path)
        return found

    def _take(self, name: str, mounts: list[Cache]) -> Held:
        mount = min(mounts, key=lambda one: ("locked", "private", "shared").index(one.sharing))

        def waiting() -> None:
            self._tell(f"waiting for another build that uses the cache {mount.id}")

        def fill(folder: str) -> bool:
            return self._fill(mount, name, folder)

        return kept.take(self._materials.store, mount, name, fill, waiting)

    def _seed(self, mount: Cache) -> str:
        action = reading(mount)
        return self._key.mounted[action].chain_id if action else ""

    def _fill(self, mount: Cache, name: str, folder: str) -> bool:
        """Put there what a new cache begins with, or what others share; whether there is any."""
        action = reading(mount)
        if action is None:
            shared = self._materials.cache.mount(name)
            if shared:
                copy_tree(shared.path, folder)
            return shared is not None
        with roots.view(self._materials.store, self._key.mounted[action].paths) as view:
            real = _real(view.fd, mount.source)
            if not os.path.isdir(real):
                raise RootlessError(f'"{mount.source}", which a cache begins with, is no directory')
            copy_tree(real, folder)
        return True

    def _secret(self, mount: Secret) -> None:
        content = self._materials.given.secrets.get(mount.id)
        if content is None:
            if mount.required:
                raise RootlessError(
                    f"secret {mount.id}: not found",
                    hint=f"give it: --secret id={mount.id},src=FILE",
                )
            return
        if mount.env:
            if b"\0" in content or len(content) >= _MOST_OF_AN_ENV:
                raise RootlessError(
                    f"secret {mount.id} cannot be a variable: it is too long, or has a zero byte",
                    hint="mount it as a file: leave out env=",
                )
            self._furnished.env[mount.env] = os.fsdecode(content)
        if mount.target:
            owners.check(mount.uid, mount.gid)
            self._files.append(mount.target)
            one = SecretFile(mount.target, content, mount.mode, mount.uid, mount.gid)
            self._secrets.append(one)

    def _ssh(self, mount: Ssh) -> Iterable[Operation]:
        number, self._agents = self._agents, self._agents + 1
        target = mount.target or f"/run/buildkit/ssh_agent.{number}"
        if not number:
            self._furnished.env["SSH_AUTH_SOCK"] = target
        agent = self._materials.given.agents.get(mount.id)
        if agent is None:
            if mount.required:
                raise RootlessError(
                    f"unset ssh forward key {mount.id}", hint=f"give an agent: --ssh {mount.id}"
                )
            return
        owners.check(mount.uid, mount.gid)
        path = f"{self._new_folder(0o700)}/agent"
        self._doors.append(agents.Door(agent, path, mount.mode, mount.uid, mount.gid))
        self._files.append(target)
        yield ops.Bind(path, target, why="the way to an ssh agent")

    def _new_folder(self, mode: int = 0o755) -> str:
        path = f"{self._folder}/mounts/{self._count}"
        self._count += 1
        os.mkdir(path, mode)
        os.chmod(path, mode)
        return path


def _real(root_fd: int, source: str) -> str:
    """The path of what `source` leads to in the root `root_fd`, which nobody else changes."""
    try:
        fd = inroot.open_path(root_fd, source)
    except OSError:
        raise NotFoundError(f'"{source}" is not there to be mounted') from None
    try:
        return os.readlink(f"/proc/self/fd/{fd}")
    finally:
        os.close(fd)


def _outermost(paths: list[str], others: list[str]) -> tuple[str, ...]:
    """Those that lie in no other mount: what is mounted later makes its own places there."""
    every = {*paths, *others}
    return tuple(one for one in paths if not any(_is_above(above, one) for above in every))


def _is_above(above: str, path: str) -> bool:
    return path != above and path.startswith(f"{above}/")
