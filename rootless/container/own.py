"""A container's own process as a value: what its start, and whatever enters it later, begin with.

Pure, but that it asks what kind of machine this is.
"""

from __future__ import annotations

import os

from rootless import runspec
from rootless.oci.config import DEFAULT_PATH
from rootless.sandbox import seccomp

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.container.spec import ContainerSpec

_UNCONFINED = "unconfined"


def process(spec: ContainerSpec) -> runspec.Process:
    """The container's own process; whatever enters it later has as much of it as it can."""
    config = spec.run
    return runspec.Process(
        argv=spec.command,
        env=environment(spec, terminal=spec.terminal),
        working_dir=config.working_dir or "/",
        user=config.user,
        capabilities=spec.capabilities,
        no_new_privileges=spec.no_new_privileges,
        seccomp=_filter(spec),
    )


def environment(spec: ContainerSpec, *, terminal: bool) -> dict[str, str]:
    """Its variables, as docker makes them."""
    env = {"PATH": DEFAULT_PATH, "HOSTNAME": spec.own_name}
    if terminal:
        env["TERM"] = "xterm"
    return {**env, **spec.run.environment}


def _filter(spec: ContainerSpec) -> bytes:
    if spec.seccomp == _UNCONFINED:
        return b""
    machine = os.uname()
    if spec.seccomp:
        from rootless.sandbox import profile

        text = spec.seccomp.encode(errors="surrogateescape")
        return profile.program(text, machine.machine, spec.capabilities, machine.release)
    return seccomp.program(machine.machine, spec.capabilities)
