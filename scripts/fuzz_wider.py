"""More of the language for random Dockerfiles: `case(seed)`, as in fuzz_grammar.

What that one writes, and heredocs of all kinds, archives with links and odd members, patterns with
negations, chains of links, variables with operators, the scopes of ARG, triggers of ONBUILD, and
the ways in which lines can be written. The same few names are used, so that steps meet.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any

import fuzz_grammar  # beside this file

from tests.support.judged import BASE, Case, Entry

VALUES = ("", "one", "a/b/c.tar.gz", "/low/d", "x y", "aXbXc", "*", "ünï", "$A", "'q'", "755")
OPERATORS = (
    *("${%s}", "$%s", "${%s:-d}", "${%s-d}", "${%s:+set}", "${%s+set}", "${%s#*/}", "${%s##*/}"),
    *(
        "${%s%%/*}",
        "${%s%%%%/*}",
        "${%s#a?}",
        "${%s%%X*}",
        "${%s%%%%X*}",
        "${%s/X/-}",
        "${%s//X/-}",
    ),
    *("${%s:-${Z:-deep}}", "${%s:+${A}}", "\\$%s", "pre${%s}post", "${%s:-a b}", "${%s//\\//_}"),
    *("'$%s'", '"$%s"', "${%s/[ab]/_}", "${%s/*b/}", "${%s:?}", "${%s?none}", "${%s#[!a]}"),
)
NAMES = ("A", "B", "G", "Q", "Z", "nothing")
AUTOMATIC = ("TARGETPLATFORM", "TARGETOS", "TARGETARCH", "TARGETVARIANT", "BUILDARCH", "http_proxy")
IGNORED = (
    *(
        "*",
        "**",
        "!src",
        "!src/",
        "!src/f",
        "!src/sub/h.txt",
        "!**/*.txt",
        "src/*",
        "!src/*/",
        "src/**",
    ),
    *(
        "**/sub",
        "!**/sub/h.txt",
        "/src/sub",
        "./src/f",
        "src/./f",
        "src//f",
        "src/sub/.",  # behind one with .. and a negation docker's files are empty
        "../x",
        "!",
    ),
    *(
        "  src/f  ",
        "# src",
        "\\#x",
        "[a-s]*",
        "[^s]*",
        "s?c",
        "**/?.txt",
        "*/*.txt",
        "**/p/**",
        "a/**",
    ),
    *(
        "src/sub/**/deep",
        "!src/p/q",
        ".*",
        "**/.*",
        "!.dot",
        "top.txt\r",
        "*.t[wx]t",
        "src/\\[x\\]",
        "!top*",
    ),
    *(
        "Dockerfile",
        ".dockerignore",
        "**/*.t*",
        "!src/**/r",
        "src/link",
        "src/dirlink",
        "src/dirlink/h.txt",
    ),
)
QUOTES = "\"'"
RELATIVE = (
    *("d", "./d", "../d", "a/../b", "$A", "${A:-w}/x", "d/", ".", "/low/./d", "//w//x", "~"),
    *("sp\\ ace", "/low/dangling/../x", "/low/todir/../y"),
)
WORDS = ("EOF", "'EOF'", '"EOF"', "-EOF", "end.1")
TEXTS = (
    *("one $A ${B:-b}", "\ttab\n\t\ttabs $A", "\\$A \\\\ `echo x` 'q' \"d\"", ""),
    "$(echo no) # no comment",
)
PATTERNS = (
    *("src/\\[x\\]", "src/[[]x]", "src/a\\*b", "src/[^a-f]*", "src/.*", ".*", "src/p/*/r", "c?"),
    *("src/*/*", "**/h.txt", "src/**", "c1/*", "c1/sub/*", "src/up/*", "src/sub/b*", "src/[a-z]*"),
    *("src/su[b]/h.txt", "./*/h.txt", "src/*.t?t", "src/{f,g.txt}", "src/[", "s\\rc/f"),
    *("*/../top.txt", "c1", "c3/f", "loop", "src/rooted", "src/sub/back", "src/sub/tofile"),
    *("pipe", "src/p/q/"),
)
INSIDE = (
    *("/low/todir/*", "/low/todir/deep", "/low/link", "/low/dangling", "/low/d/deep/y", "/low/*/y"),
    *("/low/../low/a", "low/a", "./low/d/", "/low/[a-c]*", "/low/d/*/y", "/low/sp*", "/low/ün?"),
    *(
        "/bin/ech*",
        "/low/e/..",
        "/low/turns/*",
        "/low/opaque",
        "/low/*e*",
        "/low/\\a",
        "/low/ca[p]",
    ),
)
SETTINGS = (
    *(
        'SHELL ["/bin/sh", "-c"]',
        'SHELL ["/bin/sh", "-uc"]',
        'SHELL ["/bin/echo"]',
        "SHELL /bin/sh",
    ),
    *("HEALTHCHECK CMD exit 0", 'HEALTHCHECK --timeout=3s --start-period=1m CMD ["a", "b"]'),
    *("HEALTHCHECK --retries=0 CMD x", "HEALTHCHECK --interval=1x CMD x", "HEALTHCHECK none"),
    *('CMD ["a"', "CMD ['a']", 'ENTRYPOINT ["a", "$A"]', "CMD $A ${B}", "CMD", "ENTRYPOINT [ ]"),
    *("EXPOSE 80-79", "EXPOSE 0", "EXPOSE 70000", "EXPOSE 53/udp 53/tcp", "EXPOSE 1-3/sctp"),
    *("STOPSIGNAL sigterm", "STOPSIGNAL 64", "STOPSIGNAL RTMIN+3", "STOPSIGNAL none"),
    *("LABEL a=1 a=2", "LABEL a", 'LABEL a="b\\\nc"', "LABEL a b c", "LABEL =x", "ENV =x", "ENV A"),
    *("USER :50", "USER app:", "USER 1000:1001", "USER ${A:-root}", "USER 007", "USER -1"),
    *('VOLUME ["/v", "/w/"]', "VOLUME /v/../w /v//x", "VOLUME rel", "VOLUME []", 'VOLUME "/q q"'),
)


def case(seed: int) -> Case:
    """The case that belongs to a seed."""
    return Author(random.Random(seed)).case(f"wider-{seed}")


class Author(fuzz_grammar.Author):  # type: ignore[misc,unused-ignore]
    """Writes one case."""

    def case(self, name: str) -> Case:
        made = super().case(name)
        if self.chance(0.2):
            first = made.stages[0][0]
            made.stages[0][0] = f"{self.arguments()}\n{first}"
        flags = list(made.flags)
        for _ in range(self.rng.choice((0, 0, 0, 1, 2))):
            flags += ["--build-arg", f"{self.one(NAMES)}={self.one(VALUES)}"]
        stages = [[self.opened(stage[0]), *self.spelled(stage[1:])] for stage in made.stages]
        return made._replace(stages=stages, flags=flags)

    def opened(self, line: str) -> str:
        """The FROM of a stage, written in another way."""
        before, _, origin = line.rpartition("FROM ")
        if "\n" in before or not self.chance(0.2):
            return self.respelled(line)
        return before + self.one(
            (
                f"FROM --platform=${{TARGETPLATFORM:-linux}} {origin}",
                f"FROM --platform=$BUILDPLATFORM {origin}",
                f"from {origin.replace(' AS ', ' as ')}",
                f"FROM {origin.upper()}" if origin[0] == "s" else f"FROM {origin}",
                f"FROM ${{nothing:-{origin.partition(' ')[0]}}} AS {origin.rpartition(' ')[2]}",
            )
        )

    def arguments(self) -> str:
        """ARG lines before the first FROM."""
        lines = (f"ARG G={self.one(VALUES[:4])}", "ARG B", f"ARG Q=${{G:-{self.one(VALUES[1:4])}}}")
        return "\n".join(self.rng.sample(lines, self.rng.randint(1, 3)))

    def spelled(self, stage: list[Any]) -> list[Any]:
        return [self.respelled(line) if isinstance(line, str) else line for line in stage]

    def respelled(self, line: str) -> str:
        """The same instruction, written in another way."""
        if not self.chance(0.15) or "\n" in line or "<<" in line:
            return line
        word, _, rest = line.partition(" ")
        return self.one(
            (
                f"{word.lower()} {rest}",
                f"  {word}   {rest}",
                f"{word} \\\n  {rest}",
                f"{word} \\\n# a comment\n\n  {rest}",
                f"# {word}\n{word}\t{rest}",
                f"{word} \\  \n{rest}",
            )
        )

    # --- the context ---------------------------------------------------------------------------

    context: list[Entry]

    def write_context(self) -> None:
        super().write_context()
        for entry in (
            Entry("src/p", "d", 0o755),
            Entry("src/p/q", "d", 0o2750),
            Entry("src/p/q/r", "d", 0o700),
            Entry("src/p/q/r/s.txt", "f", 0o4640, "deep\n"),
            Entry("src/.dot", "f", 0o644, "dot\n"),
            Entry(".dot", "f", 0o600, "top dot\n"),
            Entry("src/[x]", "f", 0o644, "brackets\n"),
            Entry("src/a*b", "f", 0o644, "star\n"),
            Entry("src/odd", "f", 0o1400, "only read\n"),
            Entry("src/all", "f", 0o7777, "all modes\n"),
            Entry("c1", "l", 0o777, "c2"),
            Entry("c2", "l", 0o777, "./c3"),
            Entry("c3", "l", 0o777, "/src/../c4"),
            Entry("c4", "l", 0o777, "src"),
            Entry("loop", "l", 0o777, "loop"),
            Entry("src/up", "l", 0o777, "../c1/sub"),
            Entry("src/rooted", "l", 0o777, "/src/sub"),
            Entry("src/sub/back", "l", 0o777, ".."),
            Entry("src/sub/tofile", "l", 0o777, "../../top.txt"),
            Entry("pipe", "p", 0o620),
        ):
            parent = entry.path.rpartition("/")[0]
            if self.chance(0.35) and (not parent or self.has(parent)):
                self.context.append(entry)
        if self.chance(0.25):
            self.context = [one for one in self.context if one.path != ".dockerignore"]
            name = self.one((".dockerignore", ".dockerignore", "Dockerfile.dockerignore"))
            self.context.append(Entry(name, "f", 0o644, self.patterns()))

    def patterns(self) -> str:
        lines = self.rng.sample(IGNORED, self.rng.randint(1, 6))
        return self.one(("", "", "", "\ufeff")) + "\n".join(lines) + self.one(("", "\n"))

    def archive(self) -> tuple[Any, ...]:
        if self.chance(0.3):
            return super().archive()
        members = [
            Entry("d", "d", self.one_mode()),
            Entry("d/one", "f", self.one_mode(), "archived one\n", (1000, 1001)),
            Entry("d/one", "f", 0o600, "archived again\n"),
            Entry("d/hard", "h", 0o644, "d/one"),
            Entry("hard", "h", 0o644, "low/a"),
            Entry("tolow", "l", 0o777, "/low/d"),
            Entry("tolow/in", "f", 0o644, "through a link\n"),
            Entry("rel", "l", 0o777, "d"),
            Entry("rel/in", "f", 0o640, "through another\n", (3, 4)),
            Entry("x", "f", 0o644, "a file\n"),
            Entry("x", "d", 0o711, "", (5, 5)),
            Entry("x/y", "f", self.one_mode(), "in what was a file\n"),
            Entry("y", "d", 0o755),
            Entry("y/z", "f", 0o644, "z\n"),
            Entry("y", "f", 0o644, "was a directory\n"),
            Entry("a", "l", 0o777, "nowhere"),
            Entry("a", "f", 0o644, "was a link\n"),
            Entry("../esc", "f", 0o644, "outside\n"),
            Entry("d/../over", "f", 0o644, "over\n"),
            Entry("./././dots", "f", 0o644, "dots\n"),
            Entry(".", "d", self.one_mode(), "", (8, 9)),
            Entry("wh.a", "f", 0o644, ""),
            Entry("link", "l", 0o777, "../../../etc/passwd"),
            Entry("todir", "f", 0o644, "where the base has a link\n"),
            Entry("cap", "c", 0o755, "cap\n"),
            Entry("pipe", "p", self.one_mode()),
            Entry("sp ace/ünï", "f", 0o644, "names\n"),
        ]
        kind = self.one(("t", "z", "b"))
        ending = {"t": ".tar", "z": ".tar.gz", "b": ".tar.bz2"}[kind]
        share = self.one_share()
        chosen = [list(member) for member in members if self.chance(share)]
        return f"ar{self.one((ending, '.bin'))}", kind, 0o644, chosen

    def one_mode(self) -> int:
        return self.rng.choice((0o755, 0o644, 0o4755, 0o2770, 0o1777, 0, 0o7777, 0o400))

    def one_share(self) -> float:
        return self.rng.choice((0.15, 0.3, 0.5))

    def flags(self) -> list[str]:
        return [*super().flags(), *(["--link"] if self.chance(0.08) else [])]

    def inside(self) -> str:
        """A source in a stage or an image."""
        if self.chance(0.5):
            return super().inside()
        return self.one(INSIDE)

    def origin(self) -> str:
        found = super().origin()
        return found.upper() if found[0] == "s" and self.chance(0.15) else found

    # --- instructions --------------------------------------------------------------------------

    def weighted(self) -> Callable[[], Any]:
        kinds: tuple[tuple[int, Callable[[], Any]], ...] = (
            (22, super().weighted()),
            (7, self.heredoc),
            (8, self.variables),
            (6, self.scopes),
            (5, self.trigger),
            (7, self.expanded),
            (4, self.relative),
            (4, self.pattern_copy),
            (4, self.settings),
            (5, self.add),
        )
        weights = [weight for weight, _ in kinds]
        return self.rng.choices([kind for _, kind in kinds], weights)[0]

    def expression(self) -> str:
        return self.one(OPERATORS) % self.one(NAMES)

    def variables(self) -> str:
        """ENV, LABEL and others with operators; and what a RUN sees of them."""
        if self.chance(0.25):
            return "RUN mkdir -p /w; env | grep -v ^HOSTNAME | sort > /w/env"
        value = self.expression()
        plain = value.replace(" ", "_")
        return self.one(
            (
                f"ENV {self.one(NAMES[:4])}={plain}",
                f"ENV {self.one(NAMES[:4])} {value} more",
                f'ENV A="{plain}" B={plain}',
                f"ENV {self.one(NAMES[:4])}={self.quoted(self.one(VALUES))}",
                f"LABEL l={plain} m=$A$B",
                f'LABEL l="{plain}"',
                f"LABEL l='{plain}'" if "'" not in plain else "LABEL l=''",
                f"EXPOSE 80{self.one(('', '/tcp', '/udp'))} ${{P:-81}}",
                f"VOLUME /v/{plain.strip(QUOTES)}",
                f"STOPSIGNAL ${{S:-{self.one(('TERM', 'SIGKILL', '3'))}}}",
                f'CMD ["echo", "{self.one(NAMES)}", "$A"]',
                f"ENTRYPOINT echo {self.one(('$A', chr(36) + '{A}'))}",
            )
        )

    def quoted(self, text: str) -> str:
        return json.dumps(text, ensure_ascii=False)

    def scopes(self) -> str:
        name = self.one(NAMES[:5])
        return self.one(
            (
                f"ARG {name}",
                f"ARG {name}={self.quoted(self.one(VALUES))}",
                f"ARG {name}={self.expression().replace(' ', '_')}",
                f"ARG {self.one(AUTOMATIC)}",
                f"ENV {name}=${name}",
                f"ENV {name}=${{{self.one(AUTOMATIC)}:-none}}",
                f'RUN mkdir -p /w; echo "${name}|${{{self.one(NAMES[:5])}-unset}}" >> /w/args',
                f"LABEL {name.lower()}=${name} auto=${{{self.one(AUTOMATIC[1:3])}}}",
            )
        )

    def trigger(self) -> str:
        return "ONBUILD " + self.one(
            (
                "RUN mkdir -p /w; echo onbuild >> /w/onbuild; pwd >> /w/onbuild",
                "COPY top.txt /w/on/",
                f"COPY --chown=app src/sub {self.one(fuzz_grammar.DIRS)}/on",
                "WORKDIR rel/on",
                "USER app",
                "ENV A=on B=$A",
                "ARG G",
                "LABEL on=$A",
                f"ADD {self.source()} /w/added/",
                "VOLUME /w",
                'CMD ["on"]',
                "EXPOSE 99",
                'SHELL ["/bin/sh", "-ec"]',
                "STOPSIGNAL HUP",
            )
        )

    def settings(self) -> str:
        return self.one(SETTINGS)

    def relative(self) -> str:
        return f"WORKDIR {self.one(RELATIVE)}"

    def expanded(self) -> str:
        """A COPY whose words have variables."""
        name = self.one(NAMES[:4])
        return self.one(
            (
                f"COPY top.txt /w/${{{name}:-copied}}/",
                f"COPY ${{{name}:+src/f}} top.txt /w/",
                f"COPY --chown=${{{name}:-app}} top.txt /w/owned",
                f"COPY --chmod=${{{name}:-640}} top.txt /w/moded",
                f"COPY --chmod=${{{name}:+7}}11 src /w/moded/",
                f"COPY --from={BASE} ${{{name}:-/low/d}} /w/from/",
                "ADD ${nothing:-src/sub} $WHERE/w/",
                f"WORKDIR ${{{name}:-/w}}",
                f"USER ${{{name}:-app}}",
            )
        )

    def pattern_copy(self) -> str:
        sources = [self.one(PATTERNS) for _ in range(self.rng.choice((1, 1, 2)))]
        return fuzz_grammar.operands("COPY", self.flags(), sources, self.destination())

    def heredoc(self) -> str:
        word, text = self.one(WORDS), self.one(TEXTS)
        end = word.strip("-'\"")
        reader = self.one(("cat > /w/h", "tee /w/h /w/i > /w/j", "cat - >> /low/a"))
        flags = " ".join([*self.flags(), f"<<{word}"])
        show = "echo \"$0\" | sed 's/.*pipe.*/x/' >> /w/shebang"
        return self.one(
            (
                f"RUN <<{word}\nmkdir -p /w\n{self.command()}\ntrue\n{end}",
                f"RUN <<{word}\n#!/bin/sh -e\nmkdir -p /w\n{show}\n{end}",
                f"RUN mkdir -p /w; {reader} <<{word}\n{text}\n{end}",
                f"RUN sh <<{word}\nmkdir -p /w\n{self.command()}\ntrue\n{end}",
                f"RUN cat <<A1 > /a1; cat <<{word} > /b1\nfirst\nA1\n{text}\n{end}",
                f"COPY <<{word} {self.destination()}\n{text}\n{end}",
                f"COPY {flags} <<f2 /w/two/\n{text}\n{end}\nsecond\nf2",
                f"COPY top.txt <<{word} /w/both/\n{text}\n{end}",
                f"ADD {flags} /w/new/doc\n{text}\n{end}",
            )
        )
