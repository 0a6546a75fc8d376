"""The rungs of the privilege ladder, as prefixes of a command: what stands on which one.

range  a user namespace with a range of ids
one    a user namespace with the user's own id only
root   root in a container that docker started with its defaults, which may mount nothing
none   an ordinary user there, without any capability and without any to gain
"""

from __future__ import annotations

from tests.support import one_id, plain

ROOT = plain.prefix()
NONE = plain.prefix("none")
ALL: dict[str, tuple[str, ...]] = {"range": (), "one": one_id.PREFIX, "root": ROOT}
"""Where commands are run."""
