"""How a container fares: state.json, written by who runs it. Pure.

    created ─ start ─▸ running ─ end ─▸ exited ─ start ─▸ running …
                         │  ▴                         (or restarting in between, by its policy)
                       pause │ unpause
                         ▾  │
                        paused

That a container runs is never believed from here alone: see `living`.
"""

from __future__ import annotations

from rootless import record_json
from rootless.container.health import Health
from rootless.errors import IntegrityError
from rootless.network.ports import PortMapping
from rootless.record import Record

RUNNING = frozenset({"running", "paused", "restarting"})
LATEST = 253_402_300_800.0  # the end of the year 9999: later times cannot be shown
STATUSES = ("created", "running", "paused", "restarting", "exited")


class ContainerState(Record):
    """`started` and `finished` are in seconds, 0 for never; `ports` those that were claimed.

    `error` is why the last start failed. `restarts` counts those made by its policy. `health` is
    what its checks have found, None where it has none: it is kept in health.json.
    """

    status: str
    started: float = 0
    finished: float = 0
    exit_code: int = 0
    error: str = ""
    restarts: int = 0
    oom_killed: bool = False
    ports: tuple[PortMapping, ...] = ()
    health: Health | None = None

    @property
    def is_running(self) -> bool:
        """Whether somebody runs it, paused or between two starts as it may be."""
        return self.status in RUNNING


def moment(seconds: float, name: str) -> float:
    """A time, in seconds, if it is one."""
    if not 0 <= seconds < LATEST:
        raise IntegrityError(f"{name} is not a time")
    return seconds


def decode(value: object) -> ContainerState:
    """From state.json's object; IntegrityError names the field that is wrong."""
    state = record_json.decode(ContainerState, value, "state.json")
    if state.status not in STATUSES:
        raise IntegrityError("state.json is damaged: its status is none")
    moment(state.started, "started")
    moment(state.finished, "finished")
    return state
