"""`build`: from flags to a build.request.Request, and what the build says to the terminal.

Everything that needs the user's own ids (files named on the command line, logins) is read before
the user namespace is entered. A cached build is a hot path: nothing heavy is imported for it.
"""

from __future__ import annotations

import os
import sys

from rootless import interrupts, userns
from rootless.build.request import Request
from rootless.cli import build_flags, caches, fetch, named, progress, wanted
from rootless.cli.contexts import Contexts
from rootless.errors import UsageError
from rootless.image import obtain
from rootless.oci.platform import Platform
from rootless.oci.reference import Reference
from rootless.store import Store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from typing import TextIO

    from rootless.build.lock import Lock
    from rootless.build.plan.recipes import Fetch
    from rootless.build.plan.stages import Plan
    from rootless.build.request import Form, Surroundings
    from rootless.cli.build_lock import Locking
    from rootless.cli.contexts import Found
    from rootless.cli.dockerfiles import Written
    from rootless.cli.named import Named
    from rootless.cli.outside import Logins
    from rootless.cli.parser import Arguments
    from rootless.cli.progress import BuildDisplay
    from rootless.cli.settings import Settings
    from rootless.cli.wanted import Wanted
    from rootless.dockerfile.lint import Finding
    from rootless.registry.client import Client
    from rootless.store.images import Image
    from rootless.userns import IdMap

_LAST_SECOND = "253402300799"  # of the year 9999, which RFC 3339 ends with


def build(given: Settings, arguments: Arguments) -> int:
    """Build an image; prints its id with -q."""
    interrupts.catch()
    _check(given, arguments)
    given = given.with_logins(arguments.authfile)
    surroundings = build_flags.surroundings(given, arguments)
    quiet = arguments.quiet or arguments.progress in ("quiet", "none", "rawjson")
    with Contexts(given, Store(given.root), surroundings, quiet=quiet) as contexts:
        return _build(given, arguments, contexts, surroundings)


def _build(
    given: Settings, arguments: Arguments, contexts: Contexts, surroundings: Surroundings
) -> int:
    store = contexts.store
    platforms = _platforms(arguments)
    words = (*build_flags.build_arg_words(arguments.build_arg_file), *arguments.build_arg)
    build_args = _build_args(given.environment, words)
    epoch = _epoch(arguments, {**given.environment, **build_args})
    goods = wanted.wanted(given, arguments, tuple(map(_tag, arguments.tag)), platforms, epoch)
    display = progress.building(given, arguments.progress, quiet=arguments.quiet)
    bases = _Bases(given, store, arguments, display, named.parse(arguments.build_context))
    context = contexts.find(arguments.context, bases.enter_early, build_args)
    written = contexts.dockerfile(context, arguments.file, arguments.ignorefile)
    settle = build_flags.settling(given, arguments)

    def asking(plan: Plan, fetch: Fetch) -> Request:
        return Request(
            plan=settle(plan),
            context=context.folder(written.ignore),
            fetch=fetch,
            enter=bases.enter,
            network=arguments.network,
            epoch=epoch,
            reach=contexts.reach,
            surroundings=surroundings,
            folders=bases.named.folders,
        )

    if arguments.call or arguments.check:
        looked = (bases, lambda plan: asking(plan, bases.peek))
        called = _call(arguments, written, build_args, platforms[0], *looked)
        if called is not None:
            return called
    locking = _locking(arguments, context, written, bases)
    target = arguments.target or ""
    plans = [_planned(written, build_args, one, target, bases) for one in platforms]
    _prepare(arguments, plans, bases)
    caching = caches.parse(given, store, arguments, build_args, bases.enter, display)
    asked = [asking(one, bases.fetch).replace(caching=caching) for one in plans]
    requests = _requests(arguments, asked, _forms(arguments, goods, platforms), display)
    if arguments.dry_run or arguments.explain:
        _explain(store, requests, sys.stdout if arguments.dry_run else sys.stderr)
    if arguments.dry_run:
        return 0
    if locking:
        requests = locking.check(store, requests, bases.named.references)
    built = _carry_out(store, requests, goods, display)
    if locking:
        locking.write()
    return _verified(store, requests, built) if arguments.verify else 0


def _carry_out(
    store: Store, requests: Sequence[Request], goods: Wanted, display: BuildDisplay
) -> Sequence[Image]:
    from rootless.build import build as builder

    with display:
        built = builder.build_all(store, requests, display)
    goods.deliver(store, built, requests[0].enter, display)
    return built


def _locking(
    arguments: Arguments, context: Found, written: Written, bases: _Bases
) -> Locking | None:
    """What --lock and --locked ask for."""
    if not (arguments.lock or arguments.locked):
        return None
    from rootless.cli.build_lock import Locking

    locking = Locking(arguments, context, written)
    bases.pin(locking.pins)
    return locking


def _verified(store: Store, requests: Sequence[Request], built: Sequence[Image]) -> int:
    from rootless.cli import build_verify

    return build_verify.verify(store, requests, built)


def _prepare(arguments: Arguments, plans: Sequence[Plan], bases: _Bases) -> None:
    """Whether commands of other processors can be run is asked before anything is pulled."""
    host = Platform.host()
    if not arguments.dry_run and not all(
        stage.platform.runs_on(host) for plan in plans for stage in plan.stages
    ):
        from rootless.cli import emulation

        emulation.check(plans)
    for planned in plans:
        bases.prepare(planned)


def _call(
    arguments: Arguments,
    written: Written,
    build_args: Mapping[str, str],
    platform: Platform,
    bases: _Bases,
    asking: Callable[[Plan], Request],
) -> int | None:
    """What --call asks for instead of a build, and its exit code; None where that is a build."""
    from rootless.cli import build_call

    wish = build_call.Call.parse(arguments.call or "check")
    if wish.method == "build":
        return None
    target = arguments.target or ""
    contexts = bases.named.contexts

    def leaks(plan: Plan) -> Iterator[Finding]:
        from rootless.cli import build_leaks

        return build_leaks.find(bases.store, asking(plan))

    subject = build_call.Subject(
        written, build_args, platform, target, bases.has, bases.peek, contexts, leaks
    )
    return build_call.call(wish, subject)


def _check(given: Settings, arguments: Arguments) -> None:
    """Refuse what asks for another builder than this one."""
    if not arguments.skip_unused_stages:
        raise UsageError(
            "--skip-unused-stages=false: stages that the target does not need are never built",
            hint="build such a stage by itself with --target",
        )
    for is_asked, what in (
        (arguments.created_annotation, "--created-annotation"),
        (arguments.identity_label, "--identity-label"),
    ):
        if is_asked:
            raise UsageError(f"{what}: none is made here", hint="write --annotation or --label")
    if arguments.builder is not None:
        from rootless.cli import builders

        builders.check(given, arguments.builder)


def _platforms(arguments: Arguments) -> tuple[Platform, ...]:
    """Those of --platform, or the one that podman's --os, --arch and --variant make up."""
    parts = (arguments.os, arguments.arch, arguments.variant)
    if parts == (None, None, None):
        return fetch.platforms(arguments.platform)
    if arguments.platform:
        raise UsageError("--platform has --os, --arch and --variant in it", hint="leave them out")
    host = Platform.host()
    architecture = arguments.arch or host.architecture
    words = (arguments.os or host.os, architecture, arguments.variant)
    return (Platform.parse("/".join(word for word in words if word)),)


def _forms(
    arguments: Arguments, goods: Wanted, platforms: tuple[Platform, ...]
) -> tuple[Form, ...]:
    """How each image is to look; a platform that was asked for is what it says of itself."""
    forms = tuple(map(goods.form, platforms))
    if not any((arguments.platform, arguments.os, arguments.arch, arguments.variant)):
        return forms
    pairs = zip(forms, platforms, strict=True)
    return tuple(form.replace(platform=platform) for form, platform in pairs)


def _requests(
    arguments: Arguments, asked: Sequence[Request], forms: Sequence[Form], display: BuildDisplay
) -> list[Request]:
    """What is asked, with how it is to be carried out and to look."""
    jobs = 1 if arguments.debug_shell else _jobs(arguments.jobs)
    inspect = build_flags.debug_shell(display) if arguments.debug_shell else None
    return [
        one.replace(form=form, jobs=jobs, inspect=inspect)
        for form, one in zip(forms, asked, strict=True)
    ]


def _explain(store: Store, requests: Sequence[Request], out: TextIO) -> None:
    """--dry-run and --explain: what is going to be done."""
    from rootless.cli import build_plan

    for request in requests:
        for line in build_plan.lines(store, request):
            print(line, file=out)


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
    contexts = bases.named.contexts
    return stages.plan(parsed, build_args, platform, target, bases.has, contexts)


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
        self,
        given: Settings,
        store: Store,
        arguments: Arguments,
        display: BuildDisplay,
        named: Named,
    ) -> None:
        self.named = named
        self._given = given
        self.store = store
        self._arguments = arguments
        self._display = display
        self._clients: dict[Reference, Client] = {}
        self._peeked: dict[tuple[Reference, Platform], Image] = {}
        self._ids: IdMap | None = None
        self._has_triggers = False
        self._logins: Logins | None = None
        self._pins: Lock | None = None

    def pin(self, pins: Lock) -> None:
        """Pull images by the digests that a lock has for them."""
        self._pins = pins

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
            if reference in self.named.layouts:
                continue
            image = self._local(reference, platform)
            if image is None:
                self._client(self._pinned(reference, platform))
            if image is None or image.config.onbuild:
                self._has_triggers = True

    def has(self, name: str) -> bool:
        """Whether the store has an image of that name."""
        return obtain.find(self.store, name) is not None

    def fetch(self, reference: Reference, platform: Platform) -> Image:
        """The image for `platform`, pulled when it is not in the store or --pull asks for it."""
        if reference in self.named.layouts:
            return self._loaded(reference, platform)
        image = self._local(reference, platform)
        if image is None:
            self._display.rest()
            source = self._pinned(reference, platform)
            client = self._client(source)
            self.enter()
            display = self._display.pulling(self._given, str(source))
            image = fetch.pull(self.store, client, source, platform, display, strict=False)
        return image

    def _loaded(self, reference: Reference, platform: Platform) -> Image:
        """The image that stands for another, from its layout."""
        if (reference, platform) not in self._peeked:
            self.enter()
            folder, name = self.named.layouts[reference]
            self._peeked[reference, platform] = named.load(self.store, folder, name, platform)
        return self._peeked[reference, platform]

    def _pinned(self, reference: Reference, platform: Platform) -> Reference:
        """What to ask a registry for: what the lock has, unless --pull asks what is there now."""
        if self._pins is None or self._arguments.pull:
            return reference
        pin = self._pins.image(reference, platform)
        return reference.replace(tag=None, digest=pin) if pin else reference

    def peek(self, reference: Reference, platform: Platform) -> Image:
        """The image for `platform`, with its config but without its layers where they are not."""
        if reference in self.named.layouts:
            return self._loaded(reference, platform)
        image = self._local(reference, platform) or self._peeked.get((reference, platform))
        if image is None:
            from rootless.image import pull
            from rootless.oci.descriptor import Descriptor
            from rootless.store.images import Image

            client = self._client(reference)
            top, manifest, config = pull.peek(
                reference, platform=platform, client=client, strict=False
            )
            descriptor = Descriptor(top.media_type, top.digest, len(top.content))
            image = Image(descriptor, manifest, config)
            self._peeked[reference, platform] = image
        return image

    def _local(self, reference: Reference, platform: Platform) -> Image | None:
        if reference in self.named.ids:
            return obtain.find(self.store, self.named.ids[reference], policy="never")
        policy = "always" if self._arguments.pull else "missing"
        found = obtain.find(self.store, str(reference), platform, policy)
        pinned = self._pinned(reference, platform)
        if found is None and pinned != reference:
            return obtain.find(self.store, str(pinned), platform, policy)
        return found

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
