"""`run`: a command in a new container, in the foreground."""

from __future__ import annotations

import os
import sys

from rootless import userns
from rootless.cli import fetch
from rootless.errors import NotFoundError, RootlessError
from rootless.image import obtain
from rootless.store import Store, ready

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.cli.parser import Arguments
    from rootless.cli.settings import Settings
    from rootless.container.start import Source
    from rootless.oci.config import ImageConfig
    from rootless.oci.platform import Platform
    from rootless.oci.reference import Reference
    from rootless.sandbox.spec import Spec
    from rootless.store.images import Image
    from rootless.store.ready import Ready
    from rootless.userns import IdMap


def run(given: Settings, arguments: Arguments) -> int:
    """Run a command in a new container; its exit status."""
    store = Store(given.root)
    if arguments.dry_run:
        return _dry_run(given, arguments, store)
    known = _known(arguments, store)
    image = None if known else _local(arguments, store)
    entering = userns.begin() if known or image else None
    # What follows is imported and computed while newuidmap works on another processor.
    from rootless.cli import run_flags
    from rootless.container import start

    request = run_flags.read(given, arguments)
    run_flags.make_sources(request.mounts)
    if entering:
        ids = entering.finish()
    else:
        ids, image = _pull(given, arguments, store)
    if image:
        known = ready.of(store, image)
    assert known
    source = start.Source(store, known)
    return start.run(source, ids, request, _tell, _explain if arguments.explain else None)


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
    wanted = fetch.platform(arguments.platform) if arguments.platform else None
    image = obtain.find(store, arguments.image, wanted, arguments.pull)
    if image and wanted is None:
        _warn_of_platform(image.config)
    return image


def _warn_of_platform(config: ImageConfig) -> None:
    """As docker does, an image for another machine is tried: an emulator may be registered."""
    has, host = config.platform, fetch.platform(None)
    if not has.runs_on(host):
        print(
            f"WARNING: The requested image's platform ({has}) does not match the detected host "
            f"platform ({host}) and no specific platform was requested",
            file=sys.stderr,
        )


def _pull(given: Settings, arguments: Arguments, store: Store) -> tuple[IdMap, Image]:
    """Enter the namespace and download the image."""
    from rootless.cli import progress
    from rootless.oci.reference import Reference

    reference = Reference.parse(arguments.image)
    if arguments.pull == "missing" and not arguments.quiet:
        print(f"Unable to find image '{reference.familiar}' locally", file=sys.stderr)
    client = fetch.client(
        given, reference, tls_verify=arguments.tls_verify, cert_dir=arguments.cert_dir
    )
    wanted = fetch.platform(arguments.platform)
    ids = userns.enter()
    display = progress.pulling(given, sys.stderr, quiet=arguments.quiet)
    try:
        image = fetch.pull(store, client, reference, wanted, display)
    except RootlessError as error:
        raise _explain_missing(store, reference, wanted) or error from None
    return ids, image


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


def _tell(text: str) -> None:
    """On a line of its own, below whatever the container wrote."""
    print(f"\n{text}", file=sys.stderr, flush=True)


def _explain(spec: Spec) -> None:
    from rootless.cli import words
    from rootless.sandbox import explain

    print(*map(words.escape, explain.explain(spec)), sep="\n", file=sys.stderr, flush=True)


def _dry_run(given: Settings, arguments: Arguments, store: Store) -> int:
    """Print the plan and, below it, the script that carries it out by hand. Makes nothing."""
    from rootless.cli import run_flags, words
    from rootless.container import start
    from rootless.sandbox import explain
    from rootless.sandbox.quoting import quote

    request = run_flags.read(given, arguments)
    source = _present(arguments, store)
    identity = os.urandom(6).hex()
    folder = f"/tmp/rootless-{identity}"
    ids = userns.available()
    spec = start.plan(source, ids, request, folder, request.hostname or identity)
    told = (f"# {words.escape(line)}" for line in explain.explain(spec))
    print("# What would happen:", *told, sep="\n")
    print("\n# The same by hand: paste these lines into a terminal (bash)")
    for missing in run_flags.missing_sources(request.mounts):
        print(f"mkdir -p {quote(missing)}")
    connect = start.connect_by_hand(request, folder)
    print(*explain.script(spec, f"{folder}/net", connect, stdin=request.interactive), sep="\n")
    print(f"# To clean up afterwards: unshare {explain.maps(ids)} rm -rf {folder}")
    return 0


def _present(arguments: Arguments, store: Store) -> Source:
    """The image with its layers, as they are in the store now."""
    from rootless.container import start
    from rootless.store import layers

    image = _local(arguments, store)
    found = [layers.find(store, diff_id) for _, diff_id in image.layers] if image else [None]
    if image is None or None in found:
        raise NotFoundError(
            f"Unable to find image '{arguments.image}' locally, and a dry run downloads nothing",
            hint=f"get it first: rootless pull {arguments.image}",
        )
    return start.Source(store, ready.with_layers(image, tuple(filter(None, found))))
