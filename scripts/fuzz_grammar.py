"""The grammar of random Dockerfiles: `case(seed)` is the same case for the same seed, for ever.

Only what has one right result is generated: no times, no random names, no order of directories;
and no command opens a FIFO, which would wait for ever.
Few names are used, so that steps meet: files are removed, replaced by directories, linked and
copied over again. Most cases can be built; some must be refused.

Left out is where we differ from docker on purpose. A name for --chown that the image does not have
is refused here, and is 0:0 there. --link makes a layer as if copied to scratch here; docker without
containerd's store ignores the flag, so that it is used only where both are the same.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any

from tests.support.judged import BASE, Case, Entry

DIRS = ("/low", "/low/d", "/low/d/deep", "/low/e", "/w", "/w/x", "/w/x/y", "/low/opaque", "/opt")
NAMES = ("a", "b", "one", "d", "x", "new", "link", "suid", "cap", "hard", "sp ace", "ünï", "empty")
LOW = (
    *("/low/a", "/low/b", "/low/suid", "/low/cap", "/low/hard", "/low/link", "/low/dangling"),
    *("/low/todir", "/low/d/one", "/low/d/two", "/low/d/deep/x", "/low/d/deep/y"),
    *("/low/e/f", "/low/opaque/after", "/low/turns", "/low/turns/inside", "/low/late"),
    *("/low/sp ace", "/low/ünï/ß", "/low/todir/one"),
)
LOW_DIRS = (
    "/low/d",
    "/low/d/deep",
    "/low/e",
    "/low/empty",
    "/low/opaque",
    "/low/turns",
    "/low/ünï",
)
MODES = ("755", "644", "600", "700", "4755", "2755", "1777", "6711", "000", "444", "u+s", "g-r,o+x")
OWNERS = ("1000:1001", "0:0", "33", "app", "app:staff", ":50", "nobody:root", "65534:1")
USERS = ("root", "app", "1000", "1000:50", "app:staff", "nobody", "0:0", "4242", "4242:4243")
ODD = (r"$(printf '\377')", r"$(printf 'a\nb')", "-n", r"$(printf '\001')", "'a\\b'", '"q\'q"', "*")
CHMODS = ("755", "0640", "4711", "1777", "u=rwX,go=rX", "go-rwx", "a+x", "600")
CHOWNS = ("1000:1001", "7", "app", "app:staff", "0", "nobody", "55:66", "root:wheel", "app:0")


def case(seed: int) -> Case:
    """The case that belongs to a seed."""
    return Author(random.Random(seed)).case(f"seed-{seed}")


class Author:
    """Writes one case; remembers the stages so far and what the context holds."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.context: list[Entry] = []
        self.stages: list[list[Any]] = []

    def one(self, options: tuple[str, ...]) -> str:
        return self.rng.choice(options)

    def chance(self, share: float) -> bool:
        return self.rng.random() < share

    def case(self, name: str) -> Case:
        self.write_context()
        for number in range(self.rng.choice((1, 1, 1, 2, 2, 3))):
            self.stages.append(self.stage(number))
        if self.chance(0.15):
            self.stages[0].insert(0, self.one(("ARG G=global", "ARG G", "ARG G=a\nARG H=$G-h")))
        flags = ["--build-arg", "A=given"] if self.chance(0.15) else []
        return Case(name, self.stages, self.context, flags)

    # --- the context ---------------------------------------------------------------------------

    def write_context(self) -> None:
        add = self.context.append
        add(Entry("src", "d", self.rng.choice((0o755, 0o755, 0o700, 0o2775, 0o1777))))
        add(Entry("src/f", "f", self.rng.choice((0o644, 0o600, 0o755, 0o4755)), "src f\n"))
        add(Entry("src/g.txt", "f", 0o640, "src g\n"))
        add(Entry("src/sub", "d", self.rng.choice((0o755, 0o750, 0o711))))
        add(Entry("src/sub/h.txt", "f", 0o444, "h\n"))
        add(Entry("top.txt", "f", 0o664, "top\n"))
        for entry in (
            Entry("src/link", "l", 0o777, "f"),
            Entry("src/dangling", "l", 0o777, "no/where"),
            Entry("src/out", "l", 0o777, "../../../etc/passwd"),
            Entry("src/abs", "l", 0o777, "/low/a"),
            Entry("src/dirlink", "l", 0o777, "sub"),
            Entry("src/hard", "h", 0o644, "src/f"),
            Entry("src/hole", "d", 0o755),
            Entry("src/sp ace", "f", 0o644, "space\n"),
            Entry("src/ünï", "f", 0o644, "unicode\n"),
            Entry("a", "d", 0o755),
            Entry("a/one", "f", 0o600, "context one\n"),
            Entry("d", "f", 0o644, "a file where the base has a directory\n"),
            Entry("toplink", "l", 0o777, "src/sub"),
            Entry("empty", "f", 0o644, ""),
        ):
            if self.chance(0.4) and (entry.path != "a/one" or self.has("a")):
                add(entry)
        if self.chance(0.35):
            add(Entry(*self.archive()))
        if self.chance(0.2):
            add(Entry("fake.tar.gz", "f", 0o644, "not an archive\n"))
        if self.chance(0.3):
            add(Entry(".dockerignore", "f", 0o644, self.ignore()))

    def has(self, path: str) -> bool:
        return any(entry.path == path for entry in self.context)

    def ignore(self) -> str:
        lines = (
            *("*.txt", "!src/sub/h.txt", "src/s*", "**/h.txt", "src/sub", "!src/sub/", "# comment"),
            *("src/[a-f]", "top.???", "*/g.txt", "!**/g.txt", "/src/link", "src/**", "!src/f", "*"),
        )
        return "\n".join(self.rng.sample(lines, self.rng.randint(1, 3))) + "\n"

    def archive(self) -> tuple[Any, ...]:
        """path, kind, mode, members."""
        members = [
            Entry("d", "d", 0o750, "", (5, 6)),
            Entry("d/one", "f", 0o644, "archived one\n", (1000, 1001)),
            Entry("d/suid", "f", 0o4711, "archived\n", (1, 0)),
            Entry("d/hard", "h", 0o644, "d/one", (1000, 1001)),
            Entry("link", "l", 0o777, "d/one"),
            Entry("./a", "f", 0o600, "archived a\n", (7, 8)),
            Entry("x/y/z", "f", 0o644, "no parents in the archive\n"),
            Entry("todir", "d", 0o711),
            Entry("/abs", "f", 0o644, "an absolute name\n"),
            Entry("d/deep", "l", 0o777, "../link"),
            Entry("p", "p", 0o600),
            Entry("./", "d", 0o701, "", (9, 9)),
        ]
        chosen = [member for member in members if self.chance(0.6)]
        if not any(member.path == "d/one" for member in chosen):
            chosen = [member for member in chosen if member.kind != "h"]
        kind = self.one(("t", "z"))
        name = {"t": "ar.tar", "z": self.one(("ar.tar.gz", "ar.bin"))}[kind]
        return name, kind, 0o644, [list(member) for member in chosen]

    # --- stages --------------------------------------------------------------------------------

    def stage(self, number: int) -> list[Any]:
        origin = BASE
        if number and self.chance(0.35):
            origin = f"s{self.rng.randrange(number)}"
        scratch = origin == BASE and self.chance(0.06)
        lines: list[Any] = [f"FROM {'scratch' if scratch else origin} AS s{number}"]
        for _ in range(self.rng.randint(2, 7)):
            made = self.weighted()()
            if not (scratch and _needs_programs(made)):
                lines.append(made)
        return lines

    def weighted(self) -> Callable[[], Any]:
        kinds: tuple[tuple[int, Callable[[], Any]], ...] = (
            (38, self.run),
            (30, self.copy),
            (9, self.add),
            (9, self.workdir),
            (5, self.user),
            (9, self.metadata),
        )
        weights = [weight for weight, _ in kinds]
        return self.rng.choices([kind for _, kind in kinds], weights)[0]

    # --- RUN -----------------------------------------------------------------------------------

    def run(self) -> Any:
        if self.chance(0.04):
            return "RUN " + json.dumps(["/bin/sh", "-c", self.command()])
        if self.chance(0.04):
            return "RUN <<EOF\n" + "\n".join([self.command(), self.command(), "true", "EOF"])
        if self.chance(0.01):
            return self.one(("RUN exit 3", "RUN no-such-program", 'RUN ["/no/such"]'))
        return ["RUN", *(self.command() for _ in range(self.rng.randint(1, 4)))]

    def path(self) -> str:
        if self.chance(0.45):
            return self.one(LOW + LOW_DIRS)
        return f"{self.one(DIRS)}/{self.one(NAMES)}"

    def word(self) -> str:
        """A path as the shell reads it."""
        if self.chance(0.05):
            return f"{self.one(DIRS)}/{self.one(ODD)}"
        path = self.path()
        return f"'{path}'" if " " in path else path

    def command(self) -> str:
        p, q = self.word(), self.word()
        mode, owner = self.one(MODES), self.one(OWNERS)
        folder, inner = self.one(LOW_DIRS), self.one(NAMES[:8])
        return self.rng.choice(
            (
                *(f"mkdir -p {p}", f"mkdir {p}", f"mkdir -m {self.one(MODES[:7])} {p}"),
                *(f"echo {inner} > {p}", f"echo {inner} >> {p}", f"true > {p}", f"touch -c {p}"),
                *(f"rm -rf {p}", f"rm -f {p}", f"rmdir {p}", f"rm -rf {folder}/*"),
                *(f"mv {p} {q}", f"mv {p} {q}", f"mv -T {folder} {q}", f"mv {folder} /w/moved"),
                *(f"cp -a {p} {q}", f"cp -r {folder} {q}", f"cp {p} {q}", f"cp -pr {p} /w/copy"),
                *(f"ln {p} {q}", f"ln -f {p} {q}", f"ln -s {p} {q}", f"ln -sfn {p} {q}"),
                *(f"ln -s ../{inner} {p}", f"ln -sf /no/where {p}"),
                *(f"chown {owner} {p}", f"chown -h {owner} {p}", f"chown -R {owner} {folder}"),
                *(f"chmod {mode} {p}", f"chmod -R {self.one(MODES[:4])} {folder}"),
                *(
                    f"chgrp 50 {p}",
                    f"mkfifo {folder}/pipe",
                    f"mv /low/fifo {folder}/fifo",
                    f"truncate -s 3 {p}",
                    f"sed -i s/o/0/ {p}",
                ),
                *(f"touch -d '2005-06-07 08:09:10' {p}", f"install -D -m 751 /low/a {p}"),
                *(
                    f"rm -rf {folder} && mkdir {folder}",
                    f"rm -rf {folder} && mkdir -p {folder}/new",
                ),
                *(f"rm -rf {folder} && echo file > {folder}", f"rm -f {p} && mkdir {p}"),
                *(f"rm -rf {p} && ln -s {q} {p}", f"rm -rf {folder} && ln -s {q} {folder}"),
                *(f"rm -rf {folder} && cp -a /low/e {folder}", f"rmdir {folder}; mkdir {folder}"),
                *(
                    f"mv {folder} {folder}.old && mkdir {folder}",
                    f"mv {folder} /t && mv /t {folder}",
                ),
                *(f"cd {folder} && echo here > {inner} && chmod {mode} {inner}",),
                *(f"mkdir -p /w && find /low -name '{inner}*' | sort > /w/found",),
                "mkdir -p /w && find /low /w /opt ! -name seen -exec stat -c '%n %F %a %u:%g' {} + "
                "2>/dev/null | sort > /w/seen",
                *("mkdir -p /w; id > /w/id", "mkdir -p /w; pwd > /w/pwd; env | sort > /w/env"),
                *("mkdir -p /w; umask > /w/umask", _copied_by_tar(folder)),
                *(f"cat {p} > /w/cat", f"ls -l {p} >/dev/null && echo yes > {q}"),
            )
        )

    # --- COPY, ADD -----------------------------------------------------------------------------

    def source(self) -> str:
        if self.chance(0.03):
            return self.one(("missing", "src/missing", "../top.txt", "src/../../top.txt"))
        if self.chance(0.25):
            globs = (
                "src/*",
                "*.txt",
                "src/*.txt",
                "src/[fg]*",
                "s*",
                "src/su?",
                "no*",
                "src/*/h.txt",
            )
            return self.one((*globs, "*", "src/sub/*", "?op*"))
        if self.chance(0.2):
            return self.one(("src", "src/", ".", "src/sub", "./src/./sub/", "/src"))
        real = [entry.path for entry in self.context if entry.path[0] != "."]
        broken = ("src/dangling", "src/abs", "src/out")
        return self.rng.choice([path for path in real if path not in broken or self.chance(0.1)])

    def inside(self) -> str:
        """A source in a stage or an image."""
        if self.chance(0.2):
            return self.one(("/low/*", "/low/d/*", "/low/[a-d]", "/low/*/deep", "/w/*", "/low/o*"))
        if self.chance(0.1):
            return self.path()
        return self.one((*LOW, *LOW_DIRS, "/low", "/low/", "/etc/passwd", "/low/fifo"))

    def destination(self) -> str:
        kind = self.rng.random()
        if kind < 0.25:
            return self.one(DIRS) + self.one(("", "/"))
        if kind < 0.45:
            return self.path()
        if kind < 0.6:
            return self.one(
                ("/low/todir", "/low/todir/", "/low/link", "/low/todir/in", "/low/dangling")
            )
        if kind < 0.8:
            return self.one(
                ("/new", "/new/", "/new/deep/er/", "/w/new", "/w/new/", "/deep/er/file")
            )
        return self.one((".", "./", "rel", "rel/", "rel/deep", "../up", "/low/d/..", "/"))

    def flags(self) -> list[str]:
        found = []
        if self.chance(0.22):
            found.append(f"--chown={self.one(CHOWNS)}")
        if self.chance(0.2):
            found.append(f"--chmod={self.one(CHMODS)}")
        return found

    def copy(self) -> str:
        if self.chance(0.06):
            word = self.one(("EOF", '"EOF"', "-EOF"))
            return f"COPY {' '.join([*self.flags(), f'<<{word}'])} {self.destination()}\n" + (
                "\tone $A\n\ttwo\nEOF"
            )
        flags = self.flags()
        if self.chance(0.4):
            flags.append(f"--from={self.origin()}")
            sources = [self.inside() for _ in range(self.rng.choice((1, 1, 1, 2)))]
        else:
            sources = [self.source() for _ in range(self.rng.choice((1, 1, 1, 2, 3)))]
        if self.chance(0.1):
            numbers = [flag for flag in flags if "--chown" not in flag or flag[8:].isdigit()]
            return operands("COPY", [*numbers, "--link"], sources, "/linked/")
        return operands("COPY", flags, sources, self.destination())

    def origin(self) -> str:
        stages = [f"s{number}" for number in range(len(self.stages))]
        numbers = [str(number) for number in range(len(self.stages))]
        return self.rng.choice([BASE, *stages, *stages, *numbers])

    def add(self) -> str:
        archives = [
            entry.path for entry in self.context if ".tar" in entry.path or "bin" in entry.path
        ]
        sources = [self.source()]
        if archives and self.chance(0.75):
            sources = [self.rng.choice(archives)]
        return operands("ADD", self.flags(), sources, self.destination())

    # --- the rest ------------------------------------------------------------------------------

    def workdir(self) -> str:
        places = (
            "/w",
            "/low/d",
            "rel",
            "rel/deep",
            "/low/todir",
            "/low/todir/new",
            "/new/work/dir",
        )
        more = (
            "..",
            ".",
            "/",
            "/low/empty",
            "/low/a",
            "/low/dangling",
            "/low/dangling/in",
            "$A",
            "/w/$B",
        )
        return f"WORKDIR {self.one(places if self.chance(0.75) else more)}"

    def user(self) -> str:
        return f"USER {self.one(USERS)}"

    def metadata(self) -> str:
        return self.rng.choice(
            (
                *(
                    "ENV A=env",
                    "ENV A=one B=$A C='x y'",
                    "ENV B old  style",
                    'ENV Q="q\\"q" A=${A:-d}',
                ),
                *("ARG A", "ARG A=arg", "ARG A=1 B=$A", "ARG G", "ENV PATH=/w:$PATH", "ENV A="),
                *("LABEL a=b", 'LABEL "k ey"="v $A" other=x', "LABEL a="),
                *('CMD ["sh", "-c", "x"]', "CMD run this", "CMD []", 'ENTRYPOINT ["/bin/sh"]'),
                *("ENTRYPOINT exec top $A", "ENTRYPOINT []", "EXPOSE 80 443/udp", "EXPOSE $A"),
                *("EXPOSE 8000-8002", "VOLUME /low/d", 'VOLUME ["/v one", "/w"]', "VOLUME $A /x"),
                *("STOPSIGNAL SIGINT", "STOPSIGNAL 9", "HEALTHCHECK NONE"),
                *("HEALTHCHECK --interval=5s --retries=2 CMD true", 'SHELL ["/bin/sh", "-ec"]'),
                *("ONBUILD RUN echo onbuild > /onbuild", "ONBUILD COPY top.txt /onbuild.txt"),
                *("MAINTAINER some one", "ONBUILD ENV ON=1"),
            )
        )


def _copied_by_tar(folder: str) -> str:
    """Not through a pipe into what is being read: that ends when it happens to."""
    if folder.startswith("/low/d"):
        return f"tar -cf /t.tar -C / low/d; tar -xf /t.tar -C {folder}; rm /t.tar"
    return f"tar -cf - -C / low/d | tar -xf - -C {folder}"


def _needs_programs(line: Any) -> bool:
    """Whether a line cannot work in an image that is empty."""
    return isinstance(line, list) or line.startswith(("RUN", "USER")) or "--chown=" in line


def operands(word: str, flags: list[str], sources: list[str], destination: str) -> str:
    if len(sources) > 1 or "*" in sources[0] or "[" in sources[0] or "?" in sources[0]:
        destination = destination.rstrip("/") + "/"
    paths = [*sources, destination]
    if any(" " in path for path in paths):
        return " ".join([word, *flags, json.dumps(paths, ensure_ascii=False)])
    return " ".join([word, *flags, *paths])
