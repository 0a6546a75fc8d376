"""`build`: from flags to a build.request.Request, and what the build says to the terminal.

Everything that needs the user's own ids (files named on the command line, logins) is read before
the user namespace is entered. A cached build is a hot path: nothing heavy is imported for it.
"""

from __future__ import annotations

import os
import sys

from rootless import userns
from rootless.build.inputs.remotes import Reach
from rootless.build.request import Request
from rootless.cli import build_flags, fetch, progress, wanted
from rootless.cli.contexts import Contexts
from rootless.errors import UsageError
from rootless.image import obtain
from rootless.oci.reference import Reference
from rootless.store import Store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from rootless.build.plan.stages import Plan
    from rootless.cli.dockerfiles import Written
    from rootless.cli.outside import Logins
    from rootless.cli.parser import Arguments
    from rootless.cli.progress import BuildDisplay
    from rootless.cli.settings import Settings
    from rootless.oci.platform import Platform
    from rootless.registry.client import Client
    from rootless.store.images import Image
    from rootless.userns import IdMap

_LAST_SECOND = "253402300799"  # of the year 9999, which RFC 3339 ends with


def build(given: Settings, arguments: Arguments) -> int:
    """Build an image; prints its id with -q."""
    with Contexts(given, Store(given.root)) as contexts:
        return _build(given, arguments, contexts)


def _build(given: Settings, arguments: Arguments, contexts: Contexts) -> int:
    from rootless.build import build as builder

    _check_builder(given, arguments.builder)
    store = contexts.store
    platforms = fetch.platforms(arguments.platform)
    tags = tuple(map(_tag, arguments.tag))
    words = (*build_flags.build_arg_words(arguments.build_arg_file), *arguments.build_arg)
    build_args = _build_args(given.environment, words)
    epoch = _epoch(arguments, {**given.environment, **build_args})
    goods = wanted.wanted(given, arguments, tags, platforms, epoch)
    display = progress.building(given, arguments.progress, quiet=arguments.quiet)
    bases = _Bases(given, store, arguments, display)
    context = contexts.find(arguments.context, bases.enter_early, build_args)
    written = contexts.dockerfile(context, arguments.file, arguments.ignorefile)
    if arguments.call or arguments.check:
        called = _call(arguments, written, build_args, platforms[0], bases)
        if called is not None:
            return called
    target = arguments.target or ""
    settle = build_flags.settling(given, arguments)
    plans = [settle(_planned(written, build_args, one, target, bases)) for one in platforms]
    for planned in plans:
        bases.prepare(planned)
    request = Request(
        plan=plans[0],
        context=context.folder(written.ignore),
        fetch=bases.fetch,
        enter=bases.enter,
        form=goods.form(platforms[0]),
        no_cache=arguments.no_cache,
        network=arguments.network,
        epoch=epoch,
        jobs=1 if arguments.debug_shell else _jobs(arguments.jobs),
        reach=Reach(contexts.web, given.environment),
        surroundings=build_flags.surroundings(given, arguments),
        inspect=build_flags.debug_shell(display) if arguments.debug_shell else None,
    )
    for planned in plans:
        _explain(arguments, planned, bases, has_context=context.directory is not None)
    if arguments.dry_run:
        return 0
    pairs = zip(platforms, plans, strict=True)
    requests = [request.replace(plan=planned, form=goods.form(one)) for one, planned in pairs]
    with display:
        built = builder.build_all(store, requests, display)
    goods.deliver(store, built, bases.enter, display)
    return 0


def _call(
    arguments: Arguments,
    written: Written,
    build_args: Mapping[str, str],
    platform: Platform,
    bases: _Bases,
) -> int | None:
    """What --call asks for instead of a build, and its exit code; None where that is a build."""
    from rootless.cli import build_call

    wish = build_call.Call.parse(arguments.call or "check")
    if wish.method == "build":
        return None
    target = arguments.target or ""
    subject = build_call.Subject(written, build_args, platform, target, bases.has, bases.peek)
    return build_call.call(wish, subject)


def _check_builder(given: Settings, name: str | None) -> None:
    if name is not None:
        from rootless.cli import builders

        builders.check(given, name)


def _explain(arguments: Arguments, planned: Plan, bases: _Bases, *, has_context: bool) -> None:
    """--dry-run and --explain: what is going to be done."""
    if not (arguments.dry_run or arguments.explain):
        return
    from rootless.cli import build_plan

    stream = sys.stdout if arguments.dry_run else sys.stderr
    for line in build_plan.lines(planned, bases.fetch, has_context=has_context):
        print(line, file=stream)


def _planned(
    written: Written,
    build_args: Mapping[str, str],
    platform: Platform,
    target: str,
    bases: _Bases,
) -> Plan:
    from rootless import dockerfile
    from rootless.build.plan import stages

    parsed = dockerfile.parse(written.content, written.name)
    return stages.plan(parsed, build_args, platform, target, bases.has)


def _tag(text: str) -> Reference:
    reference = Reference.parse(text)
    if reference.digest:
        raise UsageError(f"{text!r}: an image cannot be named by a digest", hint="write NAME[:TAG]")
    return reference


def _build_args(environment: Mapping[str, str], words: tuple[str, ...]) -> dict[str, str]:
    """`NAME=value`, or `NAME` for the value it has in the environment, if any."""
    values = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not name:
            raise UsageError(f"--build-arg {word!r} has no name", hint="write NAME=VALUE or NAME")
        if equals or name in environment:
            values[name] = value if equals else environment[name]
    return values


def _jobs(text: str | None) -> int:
    """How many stages at a time."""
    if text is None:
        return len(os.sched_getaffinity(0))
    if not text.isdecimal() or int(text[:9]) == 0:
        raise UsageError(f"--jobs {text!r} is not a number of stages", hint="write 1 or more")
    return int(text[:9])


def _epoch(arguments: Arguments, variables: Mapping[str, str]) -> int | None:
    """SOURCE_DATE_EPOCH: reproducible-builds.org/specs/source-date-epoch; the flags win."""
    text = arguments.source_date_epoch or arguments.timestamp or ""
    text = text or variables.get("SOURCE_DATE_EPOCH", "")
    if not text:
        return None
    if not text.isdecimal() or len(text) > len(_LAST_SECOND) or int(text) > int(_LAST_SECOND):
        raise UsageError(
            f"SOURCE_DATE_EPOCH is {text[:80]!r}, not a number of seconds since 1970",
            hint="write one up to the year 9999: SOURCE_DATE_EPOCH=$(date +%s)",
        )
    return int(text)


class _Bases:
    """Finds base images, in the store or in a registry, and enters the namespace for it."""

    def __init__(
        self, given: Settings, store: Store, arguments: Arguments, display: BuildDisplay
    ) -> None:
        self._given = given
        self._store = store
        self._arguments = arguments
        self._display = display
        self._clients: dict[Reference, Client] = {}
        self._peeked: dict[tuple[Reference, Platform], Image] = {}
        self._ids: IdMap | None = None
        self._has_triggers = False
        self._logins: Logins | None = None

    def enter(self) -> IdMap:
        """Enter the user namespace, once, when somebody first needs it."""
        if self._ids is None:
            if self._has_triggers:
                from rootless.cli.outside import Logins

                self._logins = Logins(fetch.finder(self._given))
            self._ids = userns.enter()
        return self._ids

    def enter_early(self) -> IdMap:
        """The same before anybody knows which bases there are: for a context that is unpacked."""
        self._has_triggers = True
        return self.enter()

    def prepare(self, planned: Plan) -> None:
        """Read the logins for those bases that must be pulled, outside the namespace.

        What ONBUILD triggers of the bases will ask for is not known yet.
        """
        for reference, platform in planned.images():
            image = self._local(reference, platform)
            if image is None:
                self._client(reference)
            if image is None or image.config.onbuild:
                self._has_triggers = True

    def has(self, name: str) -> bool:
        """Whether the store has an image of that name."""
        return obtain.find(self._store, name) is not None

    def fetch(self, reference: Reference, platform: Platform) -> Image:
        """The image for `platform`, pulled when it is not in the store or --pull asks for it."""
        image = self._local(reference, platform)
        if image is None:
            self._display.rest()
            client = self._client(reference)
            self.enter()
            display = self._display.pulling(self._given, str(reference))
            image = fetch.pull(self._store, client, reference, platform, display)
        return image

    def peek(self, reference: Reference, platform: Platform) -> Image:
        """The image for `platform`, with its config but without its layers where they are not."""
        image = self._local(reference, platform) or self._peeked.get((reference, platform))
        if image is None:
            from rootless.image import pull
            from rootless.oci.descriptor import Descriptor
            from rootless.store.images import Image

            client = self._client(reference)
            top, manifest, config = pull.peek(reference, platform=platform, client=client)
            descriptor = Descriptor(top.media_type, top.digest, len(top.content))
            image = Image(descriptor, manifest, config)
            self._peeked[reference, platform] = image
        return image

    def _local(self, reference: Reference, platform: Platform) -> Image | None:
        policy = "always" if self._arguments.pull else "missing"
        return obtain.find(self._store, str(reference), platform, policy)

    def _client(self, reference: Reference) -> Client:
        if reference not in self._clients:
            self._clients[reference] = fetch.client(
                self._given,
                reference,
                tls_verify=self._arguments.tls_verify,
                logins=self._logins,
                cert_dir=self._arguments.cert_dir,
            )
        return self._clients[reference]
