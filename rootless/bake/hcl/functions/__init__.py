"""The standard functions of bake files, by name. Pure, but for timestamp and uuidv4.

numbers, texts, lists, sets, codes   a table each: name → Function
times                                formatdate, timeadd, timestamp
networks                             cidrhost, cidrnetmask, cidrsubnet, cidrsubnets

bcrypt and rsadecrypt are left out: they need libraries that nothing else here does.
"""

from __future__ import annotations

from rootless.bake.hcl.functions.signature import Function

_MODULES = ("numbers", "texts", "lists", "sets", "codes", "times", "networks")


def standard() -> dict[str, Function]:
    """All of them."""
    found: dict[str, Function] = {}
    for name in _MODULES:
        module = __import__(f"{__name__}.{name}", fromlist=["FUNCTIONS"])
        found.update(module.FUNCTIONS)
    return found
