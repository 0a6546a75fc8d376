"""`pod`: names to group containers under, for compose files that podman's users have."""

from __future__ import annotations

from rootless.cli import listing, words
from rootless.cli.lifecycle import each
from rootless.container import homes, life, pods
from rootless.errors import NotFoundError, UsageError
from rootless.store import Store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.cli.parser import Arguments
    from rootless.cli.settings import Settings

_HEADERS = {
    "ID": "POD ID",
    "Name": "NAME",
    "Status": "STATUS",
    "Created": "CREATED",
    "NumberOfContainers": "# OF CONTAINERS",
}


def create(given: Settings, arguments: Arguments) -> int:
    """Make a pod and print its id."""
    shared = (arguments.share or "").split(",") if arguments.share else []
    if (arguments.infra and arguments.share != "") or shared not in ([], ["none"]):
        raise UsageError(
            "a pod whose containers share namespaces is not there",
            hint="group them without: rootless pod create --infra=false --share= NAME;"
            " containers share a network with --network container:NAME",
        )
    if arguments.publish:
        raise UsageError("a pod without an infra container publishes no ports")
    name = arguments.name or arguments.pod
    if not name:
        raise UsageError("a pod needs a name", hint="rootless pod create --infra=false NAME")
    labels = dict(line.partition("=")[::2] for line in arguments.label)
    print(pods.create(Store(given.root), name, labels).id)
    return 0


def exists(given: Settings, arguments: Arguments) -> int:
    """Say by the exit code whether there is such a pod."""
    try:
        pods.find(Store(given.root), arguments.pod)
    except NotFoundError:
        return 1
    return 0


def remove(given: Settings, arguments: Arguments) -> int:
    """Remove pods, and with --force what is in them."""
    from rootless import userns

    store = Store(given.root)
    if arguments.force:
        userns.enter()

    def take(name: str) -> str | None:
        try:
            pod = pods.find(store, name)
        except NotFoundError:
            if arguments.force or arguments.ignore:
                return name
            raise
        for container in pods.members(store, pod) if arguments.force else ():
            life.Ending(store, container, None).await_end()
            homes.remove(store, container)
        pods.remove(store, pod)
        return pod.id

    return each(arguments.pods, take)


def ps(given: Settings, arguments: Arguments) -> int:
    """List pods, the newest first."""
    store = Store(given.root)
    rows: list[listing.Row] = []
    for pod in pods.listing(store):
        inside = pods.members(store, pod)
        running = sum(one.is_running for one in inside)
        rows.append(
            {
                "ID": pod.id if arguments.no_trunc else pod.id[:12],
                "Name": pod.name,
                "Status": _status(running, len(inside)),
                "Created": words.age(pod.created and _since(pod.created)),
                "NumberOfContainers": str(len(inside)),
            }
        )
    if arguments.quiet:
        for row in rows:
            print(row["ID"])
        return 0
    listing.show(rows, _HEADERS, tuple(_HEADERS), arguments.format or "")
    return 0


def _status(running: int, every: int) -> str:
    if not every:
        return "Created"
    if running == every:
        return "Running"
    return "Degraded" if running else "Exited"


def _since(created: float) -> float:
    import time

    return time.time() - created
