"""Platforms: os/architecture[/variant] in Go's words, as image indexes use them."""

from __future__ import annotations

import os

from rootless.errors import UsageError
from rootless.record import Record

_ARCHITECTURES = {
    "x86_64": ("amd64", ""),
    "x86-64": ("amd64", ""),
    "aarch64": ("arm64", ""),
    "armv7l": ("arm", "v7"),
    "armv6l": ("arm", "v6"),
    "armhf": ("arm", "v7"),
    "armel": ("arm", "v6"),
    "i386": ("386", ""),
    "i686": ("386", ""),
    "ppc64le": ("ppc64le", ""),
    "s390x": ("s390x", ""),
    "riscv64": ("riscv64", ""),
    "loongarch64": ("loong64", ""),
    "mips64": ("mips64le", ""),
}
_DEFAULT_VARIANTS = {("arm", ""): "v7", ("arm64", "v8"): ""}


class Platform(Record):
    """One platform; arm64/v8 is written arm64, arm without a variant arm/v7."""

    os: str
    architecture: str
    variant: str = ""

    @classmethod
    def make(cls, os_name: str, architecture: str, variant: str = "") -> Platform:
        """Normalised from the words that kernels, Debian and Go use."""
        go, implied = _ARCHITECTURES.get(architecture, (architecture, ""))
        variant = variant or implied
        return cls(os_name, go, _DEFAULT_VARIANTS.get((go, variant), variant))

    @classmethod
    def parse(cls, text: str) -> Platform:
        """`linux/arm64`, `arm64`, `linux/arm/v7`, `linux`."""
        parts = text.lower().split("/")
        if len(parts) > 3 or not all(
            part.replace("-", "_").isidentifier() or part.isalnum() for part in parts
        ):
            raise UsageError(
                f"{text!r} is not a platform", hint="write OS/ARCH[/VARIANT], as in linux/arm64"
            )
        if len(parts) == 1:
            if parts[0] == "linux":
                return cls.host()
            if not any(parts[0] in (name, go) for name, (go, _) in _ARCHITECTURES.items()):
                raise UsageError(
                    f"{text!r} is no operating system and no architecture",
                    hint="write OS/ARCH[/VARIANT], as in linux/arm64",
                )
            parts.insert(0, "linux")
        return cls.make(*parts)

    @classmethod
    def host(cls) -> Platform:
        """This machine's platform."""
        return cls.make("linux", os.uname().machine)

    def runs_on(self, machine: Platform) -> bool:
        """The same os and architecture, and for arm a variant that `machine` still runs."""
        if (self.os, self.architecture) != (machine.os, machine.architecture):
            return False
        return self.architecture != "arm" or self.variant <= (machine.variant or "v7")

    def __str__(self) -> str:
        return "/".join(part for part in (self.os, self.architecture, self.variant) if part)
