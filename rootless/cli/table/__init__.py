"""Every verb, flag and argument of the command line, declared once, as data.

`find` imports only the noun that holds the verb: declaring all of them costs half a millisecond.
A verb of a docker group is spelled with its group (`system prune`); `ALIASES` holds docker's
second spellings (`image ls` is `images`). Pure values: no handler is imported from here.
"""

from __future__ import annotations

from rootless.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


class Option(Record):
    """A flag. `kind`: flag (true or false), text (given once) or list (may be repeated).

    `default` is what a flag or a text is when it is not given; a list is then empty.
    """

    names: tuple[str, ...]
    field: str
    kind: str
    help: str
    metavar: str = ""
    default: bool | str | None = None
    choices: tuple[str, ...] = ()

    @property
    def initial(self) -> object:
        """The value when the flag is not given."""
        if self.kind == "list":
            return ()
        return bool(self.default) if self.kind == "flag" else self.default


class Argument(Record):
    """A word that is not a flag. `arity`: one, optional (or None), some (1+), any (0+), or rest:
    everything that is left, flags too, as the command of `run` is."""

    field: str
    metavar: str
    arity: str = "one"

    @property
    def usage(self) -> str:
        """As the usage line shows it."""
        name = self.metavar
        return {
            "optional": f"[{name}]",
            "some": f"{name} [{name}...]",
            "any": f"[{name}...]",
            "rest": f"[{name}] [ARG...]",
        }.get(self.arity, name)


class Verb(Record):
    """A command. `handler` is `module:function`, called with (Settings, Arguments) -> exit code.

    `failure` is the exit code of an error while carrying it out; a flag that is none is 125. A
    `homeless` one is carried out where there is no place for images, too.
    """

    name: str
    summary: str
    handler: str
    options: tuple[Option, ...] = ()
    arguments: tuple[Argument, ...] = ()
    examples: tuple[str, ...] = ()
    failure: int = 1
    homeless: bool = False

    @property
    def usage(self) -> str:
        """The usage line."""
        words = ["rootless", self.name, "[OPTIONS]" if self.options else ""]
        words += [argument.usage for argument in self.arguments]
        return " ".join(word for word in words if word)

    @property
    def flags_end_at_argument(self) -> bool:
        """Whether everything from the first argument on is taken as it is."""
        return any(argument.arity == "rest" for argument in self.arguments)


def flag(*names: str, help: str, field: str = "", default: bool = False) -> Option:  # noqa: A002
    """An option that is true or false."""
    return Option(names, field or _field(names), "flag", help, default=default)


def text(
    *names: str,
    metavar: str,
    help: str,  # noqa: A002
    field: str = "",
    default: str | None = None,
    choices: tuple[str, ...] = (),
) -> Option:
    """An option with a value."""
    return Option(names, field or _field(names), "text", help, metavar, default, choices)


def many(*names: str, metavar: str, help: str, field: str = "") -> Option:  # noqa: A002
    """An option with a value that may be given several times."""
    return Option(names, field or _field(names), "list", help, metavar)


def _field(names: tuple[str, ...]) -> str:
    return names[-1].lstrip("-").replace("-", "_")


EVERY_IMAGE = "remove every image that no container uses, not only unnamed ones"
NOTHING = "accepted, as scripts made for docker pass it; changes nothing"
CONTENT_TRUST = flag("--disable-content-trust", help=NOTHING)
TLS_VERIFY = flag(
    "--tls-verify",
    default=True,
    help="check certificates [default]; =false allows plain http",
)
PRUNE_FILTER = many(
    "--filter",
    metavar="KEY=VALUE",
    help="only what until=TIME, label=KEY[=VALUE] and label!=KEY[=VALUE] all allow",
)
CERT_DIR = text(
    "--cert-dir",
    metavar="DIR",
    help="trust the *.crt there, and show the *.cert with its *.key",
)
NO_HEADING = flag("-n", "--noheading", help="leave out the table's heading")
AUTHFILE = text(
    "--authfile",
    metavar="FILE",
    help="the file of logins [default: $REGISTRY_AUTH_FILE or ~/.docker/config.json]",
)
PLATFORM = text("--platform", metavar="OS/ARCH", help="choose this platform of the image")

TOP = Verb(
    "",
    "Build, run and look into container images as an ordinary user",
    "",
    (
        text("--root", metavar="DIR", help="where images are kept [env: ROOTLESS_ROOT]"),
        flag("-D", "--debug", help="show the traceback of an error"),
        flag("-v", "--version", help="print the version and quit"),
    ),
    (Argument("words", "COMMAND", "rest"),),
)

MODULES = {
    "attach": "lifecycle",
    "bake": "bake",
    "build": "build",
    "buildx create": "builders",
    "buildx du": "builders",
    "buildx inspect": "builders",
    "buildx ls": "builders",
    "buildx prune": "builders",
    "buildx rm": "builders",
    "buildx stop": "builders",
    "buildx use": "builders",
    "buildx version": "builders",
    "commit": "containers",
    "completion": "system",
    "container exists": "containers",
    "container inspect": "images",
    "container prune": "containers",
    "copy": "images",
    "cp": "containers",
    "create": "run",
    "diff": "containers",
    "events": "lifecycle",
    "doctor": "system",
    "exec": "exec",
    "export": "containers",
    "generate systemd": "systemd",
    "healthcheck run": "exec",
    "help": "system",
    "history": "images",
    "image compare": "images",
    "image exists": "images",
    "image inspect": "images",
    "image prune": "images",
    "image tree": "images",
    "images": "images",
    "import": "images",
    "info": "system",
    "inspect": "images",
    "kaniko": "kaniko",
    "kill": "lifecycle",
    "load": "images",
    "login": "registries",
    "logout": "registries",
    "logs": "watching",
    "manifest add": "registries",
    "manifest annotate": "registries",
    "manifest create": "registries",
    "manifest inspect": "registries",
    "manifest push": "registries",
    "manifest remove": "registries",
    "manifest rm": "registries",
    "network connect": "networks",
    "network create": "networks",
    "network disconnect": "networks",
    "network exists": "networks",
    "network inspect": "networks",
    "network ls": "networks",
    "network prune": "networks",
    "network rm": "networks",
    "ns": "watching",
    "pod create": "pods",
    "pod exists": "pods",
    "pod ps": "pods",
    "pod rm": "pods",
    "pause": "lifecycle",
    "port": "lifecycle",
    "ps": "containers",
    "pull": "images",
    "push": "images",
    "registry serve": "registries",
    "rename": "lifecycle",
    "restart": "lifecycle",
    "rm": "containers",
    "rmi": "images",
    "run": "run",
    "save": "images",
    "search": "registries",
    "start": "lifecycle",
    "stop": "lifecycle",
    "stats": "limits",
    "sync": "images",
    "system check": "system",
    "system df": "system",
    "system prune": "system",
    "tag": "images",
    "top": "limits",
    "unpause": "lifecycle",
    "unshare": "volumes",
    "untag": "images",
    "update": "limits",
    "version": "system",
    "volume create": "volumes",
    "volume exists": "volumes",
    "volume export": "volumes",
    "volume import": "volumes",
    "volume inspect": "volumes",
    "volume ls": "volumes",
    "volume prune": "volumes",
    "volume rm": "volumes",
    "wait": "lifecycle",
}
"""Verb → the module here that declares it."""

ALIASES = {
    "builder build": "build",
    "builder create": "buildx create",
    "builder du": "buildx du",
    "builder inspect": "buildx inspect",
    "builder ls": "buildx ls",
    "builder prune": "buildx prune",
    "builder rm": "buildx rm",
    "builder stop": "buildx stop",
    "builder use": "buildx use",
    "builder version": "buildx version",
    "buildx b": "build",
    "buildx bake": "bake",
    "buildx build": "build",
    "buildx f": "bake",
    "container attach": "attach",
    "container commit": "commit",
    "container cp": "cp",
    "container create": "create",
    "container diff": "diff",
    "container exec": "exec",
    "container export": "export",
    "container kill": "kill",
    "container list": "ps",
    "container logs": "logs",
    "container ls": "ps",
    "container pause": "pause",
    "container port": "port",
    "container rename": "rename",
    "container restart": "restart",
    "container rm": "rm",
    "container run": "run",
    "container start": "start",
    "container stats": "stats",
    "container stop": "stop",
    "container top": "top",
    "container update": "update",
    "container unpause": "unpause",
    "container wait": "wait",
    "image build": "build",
    "image history": "history",
    "image import": "import",
    "image list": "images",
    "image load": "load",
    "image ls": "images",
    "image pull": "pull",
    "image push": "push",
    "image remove": "rmi",
    "image rm": "rmi",
    "image save": "save",
    "image tag": "tag",
    "image untag": "untag",
    "network list": "network ls",
    "network remove": "network rm",
    "pod list": "pod ps",
    "pod ls": "pod ps",
    "system events": "events",
    "system info": "info",
    "volume list": "volume ls",
    "volume remove": "volume rm",
}

GROUPS = {
    "builder": "Builds and what they keep",
    "buildx": "The same, as docker's plug-in spells it",
    "container": "Containers",
    "generate": "Units for systemd",
    "healthcheck": "Whether containers are well",
    "image": "Images",
    "manifest": "Lists of images for several platforms",
    "network": "Networks between containers",
    "pod": "Groups of containers",
    "registry": "The store as a registry for others",
    "system": "This machine and the store",
    "volume": "Data that outlives containers",
}
"""First words that are no verb by themselves, and what they are about."""


def find(words: Sequence[str]) -> tuple[str, Sequence[str]]:
    """The verb that `words` begin with, and the words after it; ("", words) for none."""
    for count in (2, 1):
        name = " ".join(words[:count])
        name = ALIASES.get(name, name)
        if len(words) >= count and name in MODULES:
            return name, words[count:]
    return "", words


def load(name: str) -> Verb:
    """The declaration of a verb that `MODULES` names."""
    module = f"{__name__}.{MODULES[name]}"
    for verb in __import__(module, fromlist=["VERBS"]).VERBS:
        if verb.name == name:
            found: Verb = verb
            return found
    raise KeyError(name)


def every() -> Iterator[Verb]:
    """All verbs, by name."""
    return map(load, MODULES)
