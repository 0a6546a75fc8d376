"""The displays of a push: those of a pull, with other words."""

from __future__ import annotations

from rootless.cli.progress import pull
from rootless.cli.progress.pull import Quiet

__all__ = ["Live", "Plain", "Quiet"]

_WORDS = {
    "waiting": "Preparing",
    "packing": "Compressing",
    "uploading": "Pushing",
    "done": "Pushed",
    "exists": "Layer already exists",
    "mounted": "Mounted from ",
}


class Plain(pull.Plain):
    """One line for each new state of a layer."""

    words = _WORDS


class Live(pull.Live):
    """One line a layer, with a bar, and one for all that is sent."""

    words = _WORDS
    moving = "uploading"
    over = ("done", "exists", "mounted")

    def sum(self) -> pull.Sum:
        """Counts what is sent: how large the rest is once it is compressed, nobody knows."""
        return pull.Sum("uploading", ("waiting", "packing", "exists", "mounted"))
