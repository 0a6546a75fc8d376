"""The flags of COPY, ADD and RUN for random Dockerfiles: `case(seed)`, as in fuzz_grammar.

What fuzz_wider writes, and --exclude, --parents, --link and --unpack, mounts of all kinds that need
nothing from outside, and triggers with them. The same few names are used, so that steps meet.

Caches are kept from build to build, by docker too: what is in one is written but never listed.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable
from typing import Any

import fuzz_grammar  # beside this file
import fuzz_wider

from tests.support.judged import BASE, Case, Entry

EXCLUDED = (
    *("*.txt", "**/*.txt", "sub", "sub/", "sub/*", "!sub/h.txt", "f", "src/f", "src/*", "**/h.txt"),
    *(
        "*",
        "!f",
        "!**/h.txt",
        "[a-g]*",
        "?",
        "p/q",
        "**/r",
        "/f",
        "./g.txt",
        "link",
        "**/d",
        "Docker*",
    ),
    *("deep", "one", "!one", "low", "low/d", "**/deep", "e"),
)
PARENTS = (
    *(
        "src/f",
        "src/sub/h.txt",
        "src/./sub/h.txt",
        "src/sub",
        "src/./sub",
        "src/*",
        "*/f",
        "**/*.txt",
    ),
    *("src/**/h.txt", "src/./**", "s*/./sub/*", "src/p/./q/r", "src/link", "src/dirlink/h.txt"),
    *(
        "top.txt",
        "./top.txt",
        "src/./*.txt",
        "none/x",
        "src/none",
        "src/./none*",
        "a/one",
        "**/.dot",
    ),
    *("src/[fg]*", "src/sub/../f", "/src/f", "src/hole"),
)
INSIDE = (
    *(
        "/low/d",
        "/low/./d/deep",
        "/low/d/*",
        "/low/**/x",
        "/low/*/one",
        "/low/./*/deep/y",
        "/low/e/f",
    ),
    *(
        "/low/todir/one",
        "/low/link",
        "/low/dangling",
        "/low/fifo",
        "/low/[a-c]*",
        "/low/turns/inside",
    ),
)
TARGETS = (
    *("/m", "/m/n/o", "/low/d", "/low/empty", "/low/todir/m", "/low/dangling/m", "/low/a", "rel/m"),
    *("/w", "/w/x", "/opt", "/low/new/m", "/tmp", "/low/e"),
)
BOUND = (
    "src",
    "src/sub",
    "top.txt",
    "src/f",
    ".",
    "/",
    "src/link",
    "src/dirlink",
    "missing",
    "toplink",
)
BOUND_INSIDE = ("/low/d", "/low", "/low/a", "/low/todir", "/low/link", "/", "/missing", "/low/e")

BROKEN = ("src/dangling", "src/abs", "src/out", "src/up", "c1", "c2", "c3", "c4", "loop")


def case(seed: int) -> Case:
    """The case that belongs to a seed."""
    return _Author(random.Random(seed)).case(f"flags-{seed}")


class _Author(fuzz_wider.Author):  # type: ignore[misc,unused-ignore]
    """Writes one case."""

    context: list[Entry]

    def case(self, name: str) -> Case:
        self.name = name
        return super().case(name)

    def write_context(self) -> None:
        """Without links that lead nowhere: with patterns docker looks for what some lead to, and
        does not find what .dockerignore leaves out.
        """
        super().write_context()
        ignores = any(entry.path.endswith(".dockerignore") for entry in self.context)
        self.context = [
            entry
            for entry in self.context
            if entry.path not in BROKEN and not (ignores and entry.kind == "l")
        ]

    def there(self, names: tuple[str, ...]) -> str:
        """One of the context's names or patterns, mostly one that is there."""
        if self.chance(0.1):
            return self.one(names)
        return self.one(tuple(filter(self.is_there, names)) or names)

    def is_there(self, name: str) -> bool:
        """Whether what comes before the first wildcard is."""
        parts = name.replace("/./", "/").removeprefix("./").strip("/").split("/")
        plain = itertools.takewhile(lambda part: not set(part) & set("*?["), parts)
        path = "/".join(plain)
        return path in ("", ".") or self.has(path)

    def source(self) -> str:
        source = super().source
        return self.there(tuple(source() for _ in range(5)))

    def weighted(self) -> Callable[[], Any]:
        kinds: tuple[tuple[int, Callable[[], Any]], ...] = (
            (24, super().weighted()),
            (7, self.excluding),
            (7, self.parents),
            (6, self.linked),
            (9, self.mounted),
            (4, self.unpacking),
            (3, self.triggered),
            (2, self.shell),
        )
        weights = [weight for weight, _ in kinds]
        return self.rng.choices([kind for _, kind in kinds], weights)[0]

    def excluding(self) -> str:
        flags = self.flags()
        for _ in range(self.rng.choice((1, 1, 2, 3))):
            flags.append(f"--exclude={self.one(EXCLUDED)}")
        if self.chance(0.3):
            origin = f"--from={self.origin()}"
            return fuzz_grammar.operands(
                "COPY", [*flags, origin], [self.inside()], self.destination()
            )
        source = self.there(("src", ".", "src/", "src/*", "*", "src/sub", "top.txt", "a"))
        word = self.one(("COPY", "COPY", "ADD"))
        return fuzz_grammar.operands(word, flags, [source], self.destination())

    def parents(self) -> str:
        flags = [*self.flags(), "--parents"]
        if self.chance(0.2):
            flags.append(f"--exclude={self.one(EXCLUDED)}")
        pick = self.there
        names: tuple[str, ...] = PARENTS
        if self.chance(0.35):
            flags.append(f"--from={self.origin()}")
            pick, names = self.one, INSIDE
        sources = [pick(names) for _ in range(self.rng.choice((1, 1, 2)))]
        return " ".join(["COPY", *flags, *sources, self.place()])

    def place(self) -> str:
        """A destination without blanks in it."""
        found = self.destination()
        return "/w/new" if " " in found else found

    def linked(self) -> str:
        """Names for --chown are not there to be looked up."""
        flags = ["--link"]
        if self.chance(0.3):
            flags.append(f"--chown={self.one(('7', '7:8', '0', '1000:1001', '55:66'))}")
        if self.chance(0.15):
            flags.append(f"--chmod={self.one(fuzz_grammar.CHMODS)}")
        if self.chance(0.4):
            flags.append(f"--from={self.origin()}")
            return fuzz_grammar.operands("COPY", flags, [self.inside()], self.destination())
        return fuzz_grammar.operands("COPY", flags, [self.source()], self.destination())

    def unpacking(self) -> str:
        archives = [entry.path for entry in self.context if entry.kind in "tzb"]
        source = self.rng.choice(archives) if archives else self.source()
        flags = [*self.flags(), f"--unpack={self.one(('true', 'false'))}"]
        return fuzz_grammar.operands("ADD", flags, [source], self.destination())

    def shell(self) -> str:
        return self.one(
            (
                'SHELL ["/bin/sh", "-ec"]',
                'SHELL ["/bin/sh", "-xc"]',
                'SHELL ["/bin/sh", "-c"]',
                'SHELL ["/bin/env", "X=y", "/bin/sh", "-c"]',
            )
        )

    def mounted(self) -> str:
        mounts = [self.mount() for _ in range(self.rng.choice((1, 1, 2)))]
        target = mounts[-1][1]
        command = self.rng.choice(
            (
                f"find {target} | sort > /seen",
                f"stat -c '%n %F %a %u:%g' {target} > /seen",
                f"touch {target}/x 2>/dev/null; true",
                f"echo y > {target}/y; cp -r {target} /copied",
                f"cat {target}/f {target}/one > /read 2>/dev/null",
                self.command(),
                f"mkdir -p {target}/deep/er; ls / > /seen",
            )
        )
        if mounts[-1][0].startswith("type=cache"):
            command = f"touch {target}/x; test -f {target}/x && echo yes > /cached"
        flags = " ".join(f"--mount={text}" for text, _ in mounts)
        if self.chance(0.1):
            return f"RUN {flags} <<EOF\n{command}\ntrue\nEOF"
        return f"RUN {flags} {command}; true"

    def mount(self) -> tuple[str, str]:
        """The text of a mount, and its target."""
        target = self.one(TARGETS)
        kind = self.rng.random()
        if kind < 0.2:
            return f"type=tmpfs,target={target}", target
        if kind < 0.4:
            more = self.one(("", ",uid=7,gid=8", ",mode=0700", ",sharing=locked", ",from=judged"))
            more += ",source=/low/d" if "from" in more else ""
            return f"type=cache,id={self.name}{more},target={target}", target
        more = self.one(("", "", ",rw", ",readonly", ",ro=false"))
        if kind < 0.7:
            return f"type=bind,source={self.there(BOUND)},target={target}{more}", target
        origin = f"from={self.named()},source={self.one(BOUND_INSIDE)}"
        return f"type=bind,{origin},target={target}{more}", target

    def named(self) -> str:
        """An origin by its name: docker has numbers for COPY --from only, podman everywhere."""
        while (found := self.origin()).isdigit():
            continue
        return found

    def triggered(self) -> str:
        return "ONBUILD " + self.one(
            (
                "COPY --exclude=f src /w/on/",
                "COPY --link --chown=7:8 top.txt /w/on/",
                "COPY --parents src/sub/h.txt /w/on/",
                f"COPY --from={BASE} --exclude=deep /low/d /w/on/",
                "RUN --mount=target=/m,source=src cp /m/f /onbuild",
                "RUN --mount=type=tmpfs,target=/m touch /m/x",
                "RUN <<EOF\nmkdir -p /w\necho here >> /w/onbuild\nEOF",
                "ADD --unpack=false --chmod=600 top.txt /w/on/",
            )
        )
