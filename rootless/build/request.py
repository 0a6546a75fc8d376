"""What a caller asks of a build, and what a build tells it while it works.

Values only, no behaviour: the command line makes a Request and draws the events. A build happens
in one process that is uid 0 of its own user and mount namespace; `report` is called there.
"""

from __future__ import annotations

from rootless.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from rootless.build.cache.remote import Known, Remote
    from rootless.build.inputs.url import Web
    from rootless.build.plan.sources import Remote as AddedRemote
    from rootless.build.plan.stages import Plan
    from rootless.oci.platform import Platform
    from rootless.oci.reference import Reference
    from rootless.sandbox.limits import Limit
    from rootless.sandbox.spec import Operation, Spec
    from rootless.store.images import Image
    from rootless.userns import IdMap


class Folder(Record):
    """A directory that a build copies from; `ignore` is what its .dockerignore holds.

    What was `fetched` is there for this build only; one that `is_empty` stands for none. Of files
    that came in an archive the owners count, too (`keeps_owners`); the others' are the host's.
    """

    directory: str
    ignore: bytes = b""
    fetched: bool = False
    keeps_owners: bool = False
    is_empty: bool = False


class Form(Record):
    """How an image is to look, and whether it is `listed` in the store: else it is only held.

    `labels` are added and `unset_labels` taken away; `annotations` are the manifest's. With
    `is_docker` it has docker's media types, which know no annotations. `squash` makes one layer of
    all that is "new" on its base, or of "all". `platform` is what the config is to say of itself,
    None for what its base says.
    """

    tags: tuple[Reference, ...] = ()
    labels: Mapping[str, str] = {}
    unset_labels: frozenset[str] = frozenset()
    annotations: Mapping[str, str] = {}
    is_docker: bool = False
    squash: str = ""
    is_listed: bool = True
    platform: Platform | None = None


class Share(Record):
    """Where a cache is to go: `put` takes what there is to know. All stages are in it, or with
    `whole` unset only the layers of the image that was built; with `mounts` what is in the cache
    mounts of its commands, too.
    """

    put: Callable[[Known], object]
    whole: bool
    mounts: bool


class Caching(Record):
    """What a build may take from caches, and gives to them.

    `no_cache` makes every step anew, `fresh` those of stages with these names; layers made before
    `oldest` (RFC 3339) are none. `sources` are asked for what this store lacks. `shares` get what
    the build knows in the end, and with `inline` the image itself. `why`: tell why a step is not
    cached.
    """

    no_cache: bool = False
    fresh: frozenset[str] = frozenset()
    oldest: str = ""
    sources: tuple[Remote, ...] = ()
    shares: tuple[Share, ...] = ()
    inline: bool = False
    why: bool = False

    @property
    def whole(self) -> bool:
        """Whether all stages are to be looked at, though the target may not need them."""
        return any(one.whole for one in self.shares)


class Surroundings(Record):
    """What the commands of a build are given beside their stage's files.

    `secrets` are contents and `agents` the sockets of ssh agents, by id. `hosts` are (address,
    name) pairs for /etc/hosts, None for no such file; `resolver` is a resolv.conf, None for this
    machine's. `mounts` are made for every command; `allow` has docker's names of what a Dockerfile
    may ask for beyond a sandbox. None of it is part of a cache key.
    """

    secrets: Mapping[str, bytes] = {}
    agents: Mapping[str, str] = {}
    hosts: tuple[tuple[str, str], ...] | None = ()
    resolver: str | None = None
    limits: tuple[Limit, ...] = ()
    shm_size: int = 64 << 20
    capabilities: frozenset[str] | None = None
    no_new_privileges: bool = False
    seccomp: bool = True
    mounts: tuple[Operation, ...] = ()
    allow: frozenset[str] = frozenset()

    def __repr__(self) -> str:
        return "Surroundings(…)"  # it has secrets


class Reach(Record):
    """How a build gets at what is elsewhere: `environment` is the user's, for git, `secrets` may
    be logins, and `agent` is the socket of the ssh agent that a Dockerfile may use, "" for none.
    """

    web: Web
    environment: Mapping[str, str]
    secrets: Mapping[str, bytes] = {}
    agent: str = ""

    def __repr__(self) -> str:
        return "Reach(…)"  # it has secrets


class Request(Record):
    """One build.

    `plan` is what the Dockerfile says. `context` is None when there is none. `fetch` finds a base
    image, pulling it where needed. `form` is how the image is to look.
    `epoch` (seconds) replaces the clock in everything the image records. `enter` is
    `userns.enter`, or returns what it did; it is called when there is something to carry out:
    a build that finds all in the cache needs no namespace. `network` is default (the host's),
    host or none. `surroundings` is what commands are given. At most `jobs` strands of steps are
    carried out at the same time. `reach` gets what ADD fetches from elsewhere. `inspect` is called
    where a command has failed, with what makes, of the descriptor for a terminal, the sandbox of a
    shell in its place.
    `folders` are the directories that --build-context names, by name. `pins`: what an ADD must
    fetch, a digest or a commit.
    """

    plan: Plan
    context: Folder | None
    fetch: Callable[[Reference, Platform], Image]
    enter: Callable[[], IdMap]
    form: Form = Form()
    caching: Caching = Caching()
    network: str = "default"
    epoch: int | None = None
    jobs: int = 1
    reach: Reach | None = None
    surroundings: Surroundings = Surroundings()
    inspect: Callable[[Callable[[int], Spec]], object] | None = None
    folders: Mapping[str, Folder] = {}
    pins: Mapping[AddedRemote, str] = {}

    @property
    def has_context(self) -> bool:
        """Whether there is anything to copy from."""
        return self.context is not None and not self.context.is_empty


class Step(Record):
    """Which step an event is about: `number` of `total` in the whole build, from 1.

    In its own stage it is `place` of `places`. A FROM that names an image is a step too.
    """

    number: int
    total: int
    stage: str
    place: int
    places: int
    text: str


class Started(Record):
    """A step has begun; it was not cached, for a `reason` if somebody wants to know."""

    step: Step
    reason: str = ""


class Output(Record):
    """Bytes that the step's command wrote to standard output or error."""

    step: Step
    content: bytes


class Cached(Record):
    """The step's layer was made by an earlier build."""

    step: Step


class Done(Record):
    """The step ended well."""

    step: Step
    seconds: float


class Failed(Record):
    """The step, begun or not, ended the build. A stage beside it just falls silent."""

    step: Step
    message: str


class Warned(Record):
    """Something looks wrong but does not stop the build."""

    message: str


class Exported(Record):
    """The image is in the store."""

    image: Image


if TYPE_CHECKING:
    Event = Started | Output | Cached | Done | Failed | Warned | Exported
    Report = Callable[[Event], None]
