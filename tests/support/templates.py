"""Random templates over random data, from a seed; and what Go makes of them, where there is Go."""

from __future__ import annotations

import json
import random
import re
import shutil
import subprocess
from pathlib import Path

JUDGE = Path(__file__).with_name("gotemplate") / "main.go"

DATA = {
    "Id": "sha256:0123456789abcdef",
    "Name": "größe <b>",
    "Empty": "",
    "Size": 12345,
    "Zero": 0,
    "Ratio": 0.25,
    "Whole": 3.0,
    "On": True,
    "Off": False,
    "Nothing": None,
    "Env": ["PATH=/bin:/usr/bin", "LANG=C", "A=b c"],
    "None": [],
    "Numbers": [3, 1, 2],
    "Mixed": ["a", 1, None, True, 2.5, ["x", "y"], {"k": "v"}],
    "Labels": {"b.c": "2", "a": "1", "z": ""},
    "NoLabels": {},
    "Config": {
        "Cmd": ["sh", "-c", "echo 'hi'"],
        "User": "root",
        "Tty": False,
        "Ports": {"80/tcp": [{"HostIp": "0.0.0.0", "HostPort": "8080"}], "443/tcp": None},
    },
    "State": {"Status": "exited", "ExitCode": 3, "Health": None},
}
_STRINGS = [".Id", ".Name", ".Empty", ".Config.User", ".State.Status"]
_WHOLES = [".Size", ".Zero", ".State.ExitCode"]
_LISTS = [".Env", ".None", ".Numbers", ".Mixed", ".Config.Cmd"]
_MAPS = [".Labels", ".NoLabels", ".Config", ".Config.Ports", ".State"]
_PATHS = [
    *(*_STRINGS, *_WHOLES, *_LISTS, *_MAPS, ".Ratio", ".Whole", ".On", ".Off", ".Config.Tty"),
    *(".Nothing", ".State.Health", ".Missing", ".Config.Missing", ".Missing.Sub", ""),
]
_KEYS = ['"a"', '"b.c"', '"80/tcp"', '"443/tcp"', '"Cmd"', '"none"']
_TEXTS = ['"a"', '""', '"80/tcp"', "`b.c`", '"x\\ty\\u00fc"', '"a,b,c"', '"%s|"', '"="', '"\\x41"']
_NUMBERS = ["0", "1", "2", "-1", "5", "0x10", "1.5", "'a'", "3.0", "017", "1e3", "0b11", "1_000"]
_VERBS = "vsdqxXtTcUobOefgGz%"
_FUNCTIONS = (
    *("json", "index", "slice", "len", "eq", "ne", "lt", "le", "gt", "ge", "and", "or", "not"),
    *("printf", "printf", "print", "println", "html", "js", "urlquery", "join", "split"),
    *("lower", "upper", "title", "truncate", "pad"),
)
_OWN = ("printf", "join", "split", "index", "slice", "truncate", "pad")
_FLAGS = ["", "", "", "5", "-5", "05", "+", "#", " ", ".2", "8.3", "-8.1", "[1]", "*", "#x"]
_WORDS = ["a", " b ", "\n", "\t", "é", "}", "{ ", "-", "", "", ""]


class Writer:
    """Writes one template; every choice is the seed's."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.variables: list[str] = []
        self.depth = 0
        self.ranges = 0
        self.inside = 0

    def template(self) -> str:
        made = self.block()
        if self.one_in(12):
            made = (
                f'{{{{define "T"}}}}[{{{{.}}}}]{{{{end}}}}{made}{{{{template "T" {self.path()}}}}}'
            )
        if self.one_in(20):
            made += f'{{{{block "B" {self.path()}}}}}{{{{json .}}}}{{{{end}}}}'
        if self.one_in(15):
            made = self.broken(made)
        return made

    def one_in(self, count: int) -> bool:
        return self.random.randrange(count) == 0

    def broken(self, text: str) -> str:
        """The same with a mistake in it."""
        at = self.random.randrange(len(text) + 1)
        if self.one_in(2):
            return text[:at] + text[at + 1 :]
        return (
            text[:at]
            + self.random.choice(["{{", "}}", "|", "(", ")", '"', ".", "$x", ":="])
            + text[at:]
        )

    def block(self) -> str:
        count = self.random.choice((1, 1, 2, 3))
        return "".join(self.random.choice(_WORDS) + self.action() for _ in range(count))

    def open(self, inside: str) -> str:
        left = "{{- " if self.one_in(8) else "{{"
        right = " -}}" if self.one_in(8) else "}}"
        return f"{left}{inside}{right}"

    def action(self) -> str:
        choice = self.random.randrange(14)
        if self.depth > 2 or choice < 7:
            return self.open(self.pipeline())
        if choice == 7:
            return self.open(f"/* {self.random.choice(['x', '}}', 'a b'])} */")
        if choice == 8:
            return self.declared()
        if self.ranges and choice == 9:
            word = self.random.choice(("break", "continue"))
            return self.open(f"if {self.pipeline()}") + self.open(word) + self.open("end")
        return self.control(self.random.choice(("if", "with", "range", "range")))

    def declared(self) -> str:
        name = f"$v{len(self.variables)}"
        if self.variables and self.one_in(2):
            return self.open(f"{self.random.choice(self.variables)} = {self.pipeline()}")
        made = self.open(f"{name} := {self.pipeline()}")
        self.variables.append(name)
        return made

    def control(self, kind: str) -> str:
        known = len(self.variables)
        self.depth += 1
        lists = [*_LISTS, *_LISTS, *_MAPS, ".Missing", ".Nothing", ".State.ExitCode"]
        head = self.pipeline() if kind != "range" else self.rooted(self.random.choice(lists))
        if kind == "range" and self.one_in(3):
            head = f"$k{known}, $e{known} := {head}"
            self.variables += [f"$k{known}", f"$e{known}"]
        elif self.one_in(5):
            head = f"$e{known} := {head}"
            self.variables.append(f"$e{known}")
        self.ranges += kind == "range"
        self.inside += kind != "if"
        made = self.open(f"{kind} {head}") + self.block()
        self.inside -= kind != "if"
        self.ranges -= kind == "range"
        if self.one_in(3):
            again = f" {kind} {self.pipeline()}" if kind != "range" and self.one_in(3) else ""
            made += self.open(f"else{again}") + self.block()
        del self.variables[known:]
        self.depth -= 1
        return made + self.open("end")

    def path(self) -> str:
        if self.variables and self.one_in(4):
            return self.random.choice(self.variables)
        if self.one_in(40):
            return ".Id.Sub"
        if self.one_in(25):
            return f'(index {self.some([".Config.Ports"])} "80/tcp" 0).HostPort'
        return self.rooted(self.random.choice(_PATHS))

    def rooted(self, path: str) -> str:
        """A path from the top: where the dot may be something else, from $."""
        if self.inside or not path:
            return "." if self.inside and self.one_in(3) else f"${path}"
        return path

    def operand(self) -> str:
        choice = self.random.randrange(10)
        if choice < 5:
            return self.path()
        if choice < 7:
            return self.random.choice(_TEXTS)
        if choice < 8:
            return self.random.choice(_NUMBERS)
        if choice == 8:
            return self.random.choice(("true", "false", "nil", "."))
        return f"({self.pipeline()})" if self.depth < 4 else "1"

    def pipeline(self) -> str:
        self.depth += 1
        made = self.random.choice((self.operand, self.call, self.call))()
        while self.one_in(4):
            made += f" | {self.call(piped=True)}"
        self.depth -= 1
        return made

    def call(self, *, piped: bool = False) -> str:
        name = self.random.choice(_FUNCTIONS)
        words = getattr(self, name if name in _OWN else "arguments")(name)
        if piped:
            words = words[:-1]
        elif self.one_in(40):
            words = words[1:]
        return " ".join([name, *words])

    def arguments(self, name: str) -> list[str]:
        if name in ("lower", "upper", "title"):
            return [self.text()]
        if name in ("len", "not", "json"):
            found = [self.text(), self.some(_LISTS), self.some(_MAPS)]
            return [
                self.operand() if self.one_in(8) or name != "len" else self.random.choice(found)
            ]
        if name in ("eq", "ne", "lt", "le", "gt", "ge"):
            kind = self.random.choice((self.text, self.whole))
            return [kind(), kind()] if not self.one_in(6) else [self.operand(), self.operand()]
        return [self.operand() for _ in range(self.random.randrange(1, 4))]

    def some(self, paths: list[str]) -> str:
        return f"${self.random.choice(paths)}" if self.inside else self.random.choice(paths)

    def text(self) -> str:
        if self.one_in(20):
            return self.operand()
        return self.some(_STRINGS) if self.one_in(2) else self.random.choice(_TEXTS)

    def whole(self) -> str:
        if self.one_in(20):
            return self.operand()
        return self.random.choice(["0", "1", "2", "3", "'a'", self.some(_WHOLES)])

    def small(self) -> str:
        return self.random.choice("0123") if not self.one_in(20) else self.operand()

    def join(self, _: str) -> list[str]:
        return [
            self.some([*_LISTS, *_LISTS, *_MAPS]) if not self.one_in(8) else self.path(),
            self.text(),
        ]

    def split(self, _: str) -> list[str]:
        return [self.text(), self.text()]

    def index(self, _: str) -> list[str]:
        if self.one_in(8):
            return [self.path(), *(self.operand() for _ in range(self.random.randrange(3)))]
        if self.one_in(4):
            return [self.some([".Config.Ports"]), '"80/tcp"', "0", '"HostPort"'][
                : self.random.randrange(2, 5)
            ]
        if self.one_in(2):
            return [self.some(_MAPS), self.random.choice(_KEYS)]
        return [self.some([*_LISTS, ".Id"]), self.small()]

    def slice(self, _: str) -> list[str]:
        count = self.random.choice((0, 1, 1, 2, 2, 3))
        places = sorted(self.small() for _ in range(count))
        return [self.some([*_LISTS, *_STRINGS]), *places]

    def truncate(self, _: str) -> list[str]:
        return [self.text(), self.small()]

    def pad(self, _: str) -> list[str]:
        return [self.text(), self.small(), self.small()]

    def printf(self, _: str) -> list[str]:
        count = self.random.randrange(1, 4)
        verbs = [f"%{self.random.choice(_FLAGS)}{self.random.choice(_VERBS)}" for _ in range(count)]
        extra = self.random.choice((0, 0, 0, 1, -1))
        return [f'"{" ".join(verbs)}"', *(self.operand() for _ in range(max(0, count + extra)))]


def cases(seed: int, count: int) -> list[str]:
    """Templates over DATA."""
    return [Writer(seed * 1_000_003 + number).template() for number in range(count)]


def go() -> str | None:
    """Where Go's tool is, if it is anywhere and its templates know break and continue."""
    found = shutil.which("go")
    if not found:
        return None
    version = subprocess.run(
        [found, "env", "GOVERSION"], capture_output=True, text=True, check=False
    )
    numbers = re.findall(r"\d+", version.stdout)
    return found if tuple(map(int, numbers[:2])) >= (1, 18) else None


def judge(templates: list[str], folder: Path, tool: str = "") -> list[dict[str, str]]:
    """What Go says of each, over DATA; `folder` is for what it builds."""
    program = folder / "judge"
    environment = {
        "HOME": str(folder),
        "PATH": "/usr/bin:/bin",
        "GO111MODULE": "off",
        "GOTOOLCHAIN": "local",
    }
    build = [tool or go() or "go", "build", "-o", str(program), str(JUDGE)]
    subprocess.run(build, check=True, env=environment)
    asked = "".join(json.dumps({"t": text, "v": DATA}) + "\n" for text in templates)
    answer = subprocess.run([program], input=asked, check=True, capture_output=True, text=True)
    return [json.loads(line) for line in answer.stdout.splitlines()]


def comparable(text: str) -> str:
    """What is made, with broken UTF-8 as JSON has it."""
    return re.sub("[\udc80-\udcff]", "\ufffd", text)


def is_apart(template: str, answer: dict[str, str]) -> bool:
    """Whether Go's answer is not ours to give: a float in base 2 or 16, or what old Go lacked.

    Before 1.24 nothing ranges over a number, before 1.23 there is no `else with`, before 1.22
    text is padded with zeros.
    """
    if re.search(r"0[xX][0-9a-fA-F.]+[pP][+-]|\dp[+-]\d", answer["out"]):
        return True
    lacked = r"unexpected <with> in else|range can't iterate over \d"
    return bool(re.search(lacked, answer["err"]) or re.search("%[-+# ]*0", template))
