"""YAML as docker reads it: PyYAML with YAML 1.2's true and false, and with bounds. Pure.

Only a compose file needs it, so PyYAML is imported when one is read.
"""

from __future__ import annotations

from rootless.bake.errors import BakeError, Place

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_MOST = 100_000  # values, an alias counting as often as it stands
_DEEPEST = 100


def load(text: str, name: str) -> Any:
    """The document in `text`; BakeError with the line when it is none."""
    import yaml

    try:
        documents = list(yaml.load_all(text, Loader=_loader()))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = Place(name, mark.line + 1, mark.column + 1) if mark else None
        raise BakeError(f"no YAML: {error.problem or error.context}", place) from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise BakeError(f"{name}: no YAML: {error}") from None
    if len(documents) > 1:
        raise BakeError(f"{name} holds {len(documents)} documents")
    document = documents[0] if documents else None
    _Bounds(name).check(document)
    return document


class _Bounds:
    def __init__(self, name: str) -> None:
        self._name = name
        self._count = 0

    def check(self, value: Any, depth: int = 0) -> None:
        """Refuse what grows by aliases, or is nested, beyond reason."""
        self._count += 1
        if self._count > _MOST or depth > _DEEPEST:
            raise BakeError(f"{self._name} holds too many values, or too deeply nested ones")
        if isinstance(value, dict):
            for inner in value.values():
                self.check(inner, depth + 1)
        elif isinstance(value, list):
            for inner in value:
                self.check(inner, depth + 1)


def _loader() -> Any:
    import re

    import yaml

    class Loader(yaml.SafeLoader):
        """Words such as yes, on and 1:30 are strings; a key stands once."""

        yaml_implicit_resolvers: dict[str, Any] = {}

        def construct_mapping(self, node: Any, deep: bool = False) -> Any:  # noqa: FBT001, FBT002
            seen = set()
            for key, _ in node.value:
                if isinstance(key, yaml.ScalarNode) and key.tag != "tag:yaml.org,2002:merge":
                    if key.value in seen:
                        raise yaml.constructor.ConstructorError(
                            None, None, f"{key.value!r} stands twice", key.start_mark
                        )
                    seen.add(key.value)
            return super().construct_mapping(node, deep)

    implicit = {
        "bool": (r"true|True|TRUE|false|False|FALSE", "tTfF"),
        "null": (r"~|null|Null|NULL|", "~nN"),
        "int": (r"[-+]?[0-9][0-9_]*|0o[0-7]+|0x[0-9a-fA-F]+", "-+0123456789"),
        "float": (
            r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf)|\.nan",
            "-+0123456789.",
        ),
        "merge": ("<<", "<"),
    }
    for word, (pattern, first) in implicit.items():
        letters = [*first, ""] if word == "null" else list(first)
        Loader.add_implicit_resolver(
            f"tag:yaml.org,2002:{word}", re.compile(f"^(?:{pattern})$"), letters
        )
    return Loader
