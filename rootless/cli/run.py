"""`run`: a command in a new container, in the foreground."""

from __future__ import annotations

import os
import sys

from rootless import runspec, userns
from rootless.errors import NotFoundError, RootlessError, UsageError
from rootless.image import obtain
from rootless.oci.platform import Platform
from rootless.record import Record
from rootless.store import Store, ready

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeVar

    from rootless.cli.parser import Arguments
    from rootless.cli.settings import Settings
    from rootless.container.connecting import Connection
    from rootless.container.front import Front
    from rootless.container.homes import Home
    from rootless.container.monitor import Told
    from rootless.container.networking import Entering
    from rootless.container.overrides import Overrides
    from rootless.container.spec import ContainerSpec
    from rootless.container.start import Ground, Links
    from rootless.network.choice import Choice
    from rootless.oci.config import ImageConfig
    from rootless.oci.reference import Reference
    from rootless.store.images import Image
    from rootless.store.ready import Ready
    from rootless.userns import IdMap

    T = TypeVar("T")


def run(given: Settings, arguments: Arguments) -> int:
    """Run a command in a new container; its exit status, or 0 once a detached one runs."""
    if arguments.dry_run:
        return _dry_run(given, arguments, Store(given.root))
    outlives = _outlives(arguments)
    tied = not (arguments.detach or outlives or _can_be_left(arguments))
    made = make(given, arguments, in_foreground=not arguments.detach, tied=tied)
    from rootless.container import launch, monitor

    home = made.home
    told = monitor.Told(tell, _explain if arguments.explain else None, warn=_warn)
    try:
        write_cidfile(home)
        if home.spec.requires:
            from rootless.cli import lifecycle

            lifecycle.start_required(given, made.ground.store, made.ground.ids, home.spec)
    except BaseException:
        home.discard()
        raise
    if arguments.detach:
        begin(made, told)
        print(home.spec.id)
        return 0
    if not tied:
        from rootless.cli import attach

        return attach.run(made, told, arguments, tied=not outlives)
    return _or_keep(home, lambda: launch.in_foreground(made.ground, home, told, made.begun))


def begin(made: Made, told: Told, front: Front | None = None) -> None:
    """Start it with a monitor of its own; returns when its command runs."""
    from rootless.container import launch

    _or_keep(made.home, lambda: launch.in_background(made.ground, made.home, told, front))
    made.home.let_go()


def _or_keep(home: Home, start: Callable[[], T]) -> T:
    """What cannot be started stays as it was created, unless it is gone with its command."""
    try:
        return start()
    except RootlessError:
        if home.spec.remove:
            home.discard()
        else:
            home.let_go()
            if home.spec.detached:
                print(home.spec.id)
        raise
    except BaseException:
        home.discard()
        raise


def _outlives(arguments: Arguments) -> bool:
    """Whether a container in the foreground goes on when this process is gone, as docker's do.

    Those who use these flags count on it; without them nobody is left to look after it.
    """
    return bool(arguments.attach or arguments.detach_keys) or not arguments.sig_proxy


def _can_be_left(arguments: Arguments) -> bool:
    """Whether the detach keys can be typed: then somebody else must look after it."""
    return bool(arguments.tty and arguments.interactive)


class Made(Record):
    """A container that is there, held, what it can be started on, and what has been begun of it."""

    ground: Ground
    home: Home
    begun: Connection | None = None


def make(
    given: Settings, arguments: Arguments, *, in_foreground: bool = False, tied: bool = False
) -> Made:
    """Get the image, enter the namespace and make the container that the flags ask for.

    Of one that is `tied` to this process its network is begun, where that takes a while.
    """
    store = Store(given.root)
    known = _known(arguments, store)
    image = None if known else _local(arguments, store)
    here = bool(known or image)
    entering: Entering | None = None
    if here and not (any(map(_is_elsewhere, arguments.network)) or arguments.pid or arguments.ipc):
        entering = userns.begin()
    # What follows is imported and computed while newuidmap works on another processor.
    from rootless.cli import run_flags

    if in_foreground:
        run_flags.check_terminal(arguments)
    asked, changes = run_flags.read(given, arguments)
    if entering is None:
        from rootless.container import networking

        entering = networking.begin(store, (asked,), given.environment.get("PATH", ""))
    mounted = _missing_mounts(given, arguments, store, asked)
    begun: Connection | None = None
    if here:
        ids = entering.finish()
        # What is to be replaced may have its ports until then.
        runspec.check()
        begun = _begin_network(given, asked) if tied and not arguments.replace else None
    else:
        ids, image = _pull(given, arguments, entering)
    if asked.network == "host":
        _tell_of_network(given, arguments)
    from rootless.container import settle, start

    for download in mounted:
        download()
    if image:
        known = ready.of(store, image)
    assert known
    asked, changes = _with_ids(_in_pod(store, asked), changes, ids)
    spec = start.specify(asked, changes, known)
    ground = grounded(given, store, known, ids)
    if arguments.replace:
        return Made(ground, _in_its_place(ground, spec))
    return Made(ground, settle.create(ground, spec), begun)


def _tell_of_network(given: Settings, arguments: Arguments) -> None:
    """Why it is the host's; RootlessError where that is too little."""
    from rootless.cli import run_network

    run_network.tell(given, arguments)


def _in_pod(store: Store, asked: ContainerSpec) -> ContainerSpec:
    """With its pod by its full name, where it is to be in one. NotFoundError, also for what it
    requires.
    """
    if asked.requires:
        from rootless.container import records

        for name in asked.requires:
            records.find(store, name)
    if not asked.pod:
        return asked
    from rootless.container import pods

    return asked.replace(pod=pods.find(store, asked.pod).name)


def _begin_network(given: Settings, asked: ContainerSpec) -> Connection | None:
    """Let its network come about while the container is made, where that takes longer."""
    if asked.network in ("none", "host"):
        return None
    from rootless.container import connecting

    return connecting.early(asked, given.environment.get("PATH", ""), given.runtime_dir)


def _in_its_place(ground: Ground, spec: ContainerSpec) -> Home:
    """Make it in the place of the one that has its name: whoever comes last stays.

    It is made under another name before, so that what cannot be made takes nothing away.
    """
    from rootless.container import homes, life, settle

    if not spec.name:
        raise UsageError("cannot replace container without --name being set")
    homes.check_spelling(spec.name)
    if spec.cidfile and os.path.exists(spec.cidfile):
        raise _no_cidfile(spec.cidfile, "File exists")
    home = settle.create(ground, spec.replace(name=""))
    try:
        while True:
            life.replace(ground.store, spec.name)
            try:
                home.rename(spec.name)
            except homes.TakenError:
                continue
            return home
    except BaseException:
        home.discard()
        raise


def _with_ids(
    asked: ContainerSpec, changes: Overrides, ids: IdMap
) -> tuple[ContainerSpec, Overrides]:
    """With ids of its own, where they are asked for."""
    given = asked.confinement
    if not (given.userns or given.uid_map):
        return asked, changes
    from rootless.container import identity

    return identity.settled(asked, ids), identity.as_user(changes, given, ids)


def _is_elsewhere(network: str) -> bool:
    """Whether that network is in another user namespace."""
    from rootless.network import choice

    return choice.is_user_defined(network) or choice.is_anothers(network)


def grounded(given: Settings, store: Store, image: Ready, ids: IdMap) -> Ground:
    """What a start of the image stands on."""
    from rootless.container.start import Ground

    return Ground(store, image, ids, given.environment.get("PATH", ""), given.runtime_dir)


def write_cidfile(home: Home) -> None:
    """The id, to a file that must be new, where one is asked for. RootlessError."""
    spec = home.spec
    if not spec.cidfile:
        return
    try:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        fd = os.open(spec.cidfile, flags, 0o644)
    except OSError as error:
        raise _no_cidfile(spec.cidfile, error.strerror or "") from None
    os.write(fd, spec.id.encode())
    os.close(fd)


def _no_cidfile(path: str, why: str) -> RootlessError:
    folder = os.path.dirname(path) or "."
    is_there = os.path.isdir(folder)
    return RootlessError(
        f"the container's id cannot be written to {path}: {why}",
        hint="choose a file that does not exist yet" if is_there else f"mkdir -p {folder}",
    )


def _known(arguments: Arguments, store: Store) -> Ready | None:
    """The image if nothing has to be read of its layers, and it is the one that is asked for."""
    if arguments.pull == "always" or arguments.platform:
        return None
    known = ready.recall(store, arguments.image)
    if known:
        _warn_of_platform(known.config)
    return known


def _local(arguments: Arguments, store: Store) -> Image | None:
    """The image if it is not to be pulled."""
    wanted = None
    if arguments.platform:
        from rootless.cli import fetch

        wanted = fetch.platform(arguments.platform)
    image = obtain.find(store, arguments.image, wanted, arguments.pull)
    if image and wanted is None:
        _warn_of_platform(image.config)
    return image


def _warn_of_platform(config: ImageConfig) -> None:
    """As docker does, an image for another machine is tried: an emulator may be registered."""
    has, host = config.platform, Platform.host()
    if not has.runs_on(host):
        print(
            f"WARNING: The requested image's platform ({has}) does not match the detected host "
            f"platform ({host}) and no specific platform was requested",
            file=sys.stderr,
        )


def _pull(given: Settings, arguments: Arguments, entering: Entering) -> tuple[IdMap, Image]:
    """Be in the namespace, and download the image."""
    download = _download(given, arguments, arguments.image)
    ids = entering.finish()
    runspec.check()
    return ids, download()


def _missing_mounts(
    given: Settings, arguments: Arguments, store: Store, asked: ContainerSpec
) -> list[Callable[[], Image]]:
    """The downloads of images that are to be mounted and are not here."""
    policy = "never" if arguments.pull == "never" else "missing"
    return [
        _download(given, arguments, one.source)
        for one in asked.mounts
        if one.kind == "image" and obtain.find(store, one.source, policy=policy) is None
    ]


def _download(given: Settings, arguments: Arguments, name: str) -> Callable[[], Image]:
    """What downloads an image, in the namespace: logins are found outside of it."""
    from rootless import interrupts
    from rootless.cli import fetch, progress
    from rootless.oci.reference import Reference

    interrupts.catch()
    store, reference = Store(given.root), Reference.parse(name)
    if arguments.pull == "missing" and not arguments.quiet:
        print(f"Unable to find image '{reference.familiar}' locally", file=sys.stderr)
    client = fetch.client(
        given, reference, tls_verify=arguments.tls_verify, cert_dir=arguments.cert_dir
    )
    wanted = fetch.platform(arguments.platform)

    def download() -> Image:
        display = progress.pulling(given, sys.stderr, quiet=arguments.quiet)
        try:
            return fetch.pull(store, client, reference, wanted, display)
        except RootlessError as error:
            raise _explain_missing(store, reference, wanted) or error from None

    return download


def _explain_missing(store: Store, reference: Reference, wanted: Platform) -> RootlessError | None:
    """What cannot be pulled may be here for another platform only: docker's words for that."""
    other = obtain.find(store, str(reference))
    if other is None or other.config.platform.runs_on(wanted):
        return None
    return RootlessError(
        f"image with reference {reference.familiar} was found but its platform "
        f"({other.config.platform}) does not match the specified platform ({wanted})",
        hint="leave out --platform, or pull or build it for that one",
    )


def tell(text: str) -> None:
    """On a line of its own, below whatever the container wrote."""
    print(f"\n{text}", file=sys.stderr, flush=True)


def _warn(text: str) -> None:
    from rootless.cli import words

    words.warn(text)


def _explain(steps: list[str]) -> None:
    from rootless.cli import words

    print(*map(words.escape, steps), sep="\n", file=sys.stderr, flush=True)


def _dry_run(given: Settings, arguments: Arguments, store: Store) -> int:
    """Print the plan and, below it, the script that carries it out by hand. Makes nothing."""
    from rootless.cli import run_flags, words
    from rootless.container import connecting, networking, settle, start
    from rootless.sandbox import explain
    from rootless.sandbox.quoting import quote

    asked, changes = run_flags.read(given, arguments)
    if asked.wishes or asked.network.startswith(networking.CONTAINER):
        raise RootlessError(
            f"a dry run cannot show the network {asked.network}: a start makes it",
            hint="--explain shows each step of a real start",
        )
    folder = f"/tmp/rootless-{os.urandom(6).hex()}"
    ground = grounded(given, store, _present(arguments, store), userns.on_paper())
    asked, changes = _with_ids(asked, changes, ground.ids)
    container = start.specify(asked, changes, ground.image)
    container = settle.on_paper(store, container, folder)
    network = connecting.find(container, ground.search_path)
    root = start.root(ground, container, folder)
    spec = start.plan(ground, container, folder, _on_paper(network, container), root)
    told = (f"# {words.escape(line)}" for line in explain.explain(spec))
    print("# What would happen:", *told, sep="\n")
    print("\n# The same by hand: paste these lines into a terminal (bash)")
    for missing in start.missing_sources(container):
        print(f"mkdir -p {quote(missing)}")
    connect = start.connect_by_hand(container, network, folder)
    print(*explain.script(spec, f"{folder}/net", connect, stdin=asked.interactive), sep="\n")
    print(f"# To clean up afterwards: unshare {explain.maps(ground.ids)} rm -rf {folder}")
    return 0


def _on_paper(network: Choice, container: ContainerSpec) -> Links:
    """Descriptors that stand for those of a real start."""
    from rootless.container.start import Links
    from rootless.network import choice

    connected = network.mode in choice.CONNECTED
    return Links(network, 0 if connected else -1, 0 if container.terminal else -1)


def _present(arguments: Arguments, store: Store) -> Ready:
    """The image with its layers, as they are in the store now."""
    from rootless.store import layers

    image = _local(arguments, store)
    found = [layers.find(store, diff_id) for _, diff_id in image.layers] if image else [None]
    if image is None or None in found:
        raise NotFoundError(
            f"Unable to find image '{arguments.image}' locally, and a dry run downloads nothing",
            hint=f"get it first: rootless pull {arguments.image}",
        )
    return ready.with_layers(image, tuple(filter(None, found)))
