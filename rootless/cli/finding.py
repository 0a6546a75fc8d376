"""The container that a word of the command line means."""

from __future__ import annotations

from rootless.cli.several import usable
from rootless.container import records
from rootless.container.spec import Container

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.store import Store


def find(store: Store, name: str) -> Container:
    """The container of this name or id; RootlessError when its record is damaged, too."""
    return usable(store, records.find(store, name))
