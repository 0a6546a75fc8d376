"""The rungs of the privilege ladder, as prefixes of a command: what stands on which one.

root   root in a container that docker started with its defaults, which may mount nothing
none   an ordinary user there, without any capability and without any to gain
"""

from __future__ import annotations

from tests.support import plain

ROOT = plain.prefix()
NONE = plain.prefix("none")
