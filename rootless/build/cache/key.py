"""The cache key of one step: what it does, what it reads, what it rests on.

Pure. A key hashes the chain of layers below the step (image-spec's ChainID: contents, not names),
the canonical action, and the contents it reads. So a hit is exact: it never rests on a layer that
was made on top of something else.
"""

from __future__ import annotations

from rootless import leanjson
from rootless.oci.digest import Digest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.build.plan.actions import CopyFiles
    from rootless.build.stack import Stack

_VERSION = 2


def key(action: tuple[object, ...], contents: str, chains: tuple[str, ...]) -> str:
    """The cache key of an action (`plan.keys.canonical`), in hex.

    `contents` is the digest of the files it reads, `chains` is the ChainID of the layers it rests
    on, if any.
    """
    return Digest.of(leanjson.dumps([_VERSION, action, contents, chains])).hex


def contents_key(chain: str, selection: tuple[object, ...]) -> str:
    """Where it is recorded what a selection of paths has in layers: those whose ChainID is
    `chain`, or those that came about by a definition.
    """
    return key(("contents", *selection), "", (chain,))


class Key:
    """The cache key of one step, known as soon as all layers it rests on are published.

    `inputs` is the digest of the files it reads, `origin` the layers that --from names. Whoever
    carries the step out sets `inputs` to what was really read. Of a RUN, `mounted` are the layers
    that its mounts read from, as far as they are there, and `parts` the digests of what they show,
    `shown` in which order.
    `text` is for people, `moment` the time (seconds) of what the step makes: no part of it; `place`
    is where the step stands, `listing` what of the context it reads, for `trails`, and
    `folder` the one that it reads, if that is all.
    """

    place = ""
    text = ""
    listing = ""
    folder = ""
    moment = 0

    def __init__(
        self,
        action: tuple[object, ...],
        inputs: str | None,
        beneath: Stack | None,
        origin: Stack | None = None,
    ) -> None:
        self.action = action
        self.mounted: dict[CopyFiles, Stack] = {}
        self.parts: dict[CopyFiles, str | None] = {}
        self.shown: tuple[CopyFiles, ...] = ()
        self.inputs = inputs
        self.beneath = beneath
        self.origin = origin

    def combine(self) -> None:
        """Of a RUN: make `inputs` of `parts`."""
        parts = [self.parts[one] for one in self.shown]
        self.inputs = None if None in parts else Digest.of(leanjson.dumps(parts)).hex

    @property
    def is_known(self) -> bool:
        """Whether it can be computed now."""
        is_published = self.beneath is None or self.beneath.is_published
        return self.inputs is not None and is_published

    def compute(self) -> str:
        """The key, in hex."""
        assert self.inputs is not None
        chains = () if self.beneath is None else (self.beneath.chain_id,)
        return key(self.action, self.inputs, chains)
