"""The rungs of the privilege ladder, as prefixes of a command: what stands on which one.

root   root in a container that docker started with its defaults, which may mount nothing
"""

from __future__ import annotations

from tests.support import plain

ROOT = plain.prefix()
