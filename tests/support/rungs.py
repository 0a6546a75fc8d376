"""The rungs of the privilege ladder, as prefixes of a command: what stands on which one.

root   root of a user namespace with a range of ids that is told to use none of its powers to
       mount: the same code as in a container that docker started, where the kernel refuses
"""

from __future__ import annotations

ROOT = ("unshare", "--map-root-user", "--map-auto", "env", "ROOTLESS_RUNG=root")
