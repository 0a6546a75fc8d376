"""The rungs of the privilege ladder, as prefixes of a command: what stands on which one.

root   root of a user namespace with a range of ids and docker's powers, so that it cannot mount;
       told to make no other namespace, which docker's filter of system calls would refuse
"""

from __future__ import annotations

from rootless.sandbox import caps

_POWERS = "".join(f",+{name.lower()}" for name in sorted(caps.DEFAULT))
ROOT = (
    *("unshare", "--map-root-user", "--map-auto"),
    *("setpriv", f"--bounding-set=-all{_POWERS}"),
    *("env", "ROOTLESS_RUNG=root"),
)
