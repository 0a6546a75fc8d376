"""How healthy a container is: docker's rules, as values. Pure.

    starting ─ a check succeeds ─▸ healthy ◂──────────────┐
       │                              │ so many failures  │ a check succeeds
       └─ so many failures after its  ▾ in a row          │
          start period ────────▸ unhealthy ───────────────┘

What is kept is health.json in the container's directory. Each start begins anew, but for the log.
"""

from __future__ import annotations

from rootless import record_json
from rootless.errors import RootlessError
from rootless.oci.config import Healthcheck
from rootless.record import Record

STARTING, HEALTHY, UNHEALTHY, NONE = "starting", "healthy", "unhealthy", "none"
STATUSES = (NONE, STARTING, HEALTHY, UNHEALTHY)
MOST_OUTPUT = 4096  # bytes of a check's output that are kept
TIMED_OUT = -1  # the exit code of a check that took too long, or could not be carried out
_MOST_LOG = 5
_SECOND = 1_000_000_000
_INTERVAL, _TIMEOUT, _START_INTERVAL, _RETRIES = 30 * _SECOND, 30 * _SECOND, 5 * _SECOND, 3


class Check(Record):
    """One check: when it began and ended, in seconds; what it said and ended with."""

    start: float
    end: float
    exit_code: int
    output: str = ""


class Health(Record):
    """`streak` is the number of failures in a row; `log` the last checks, the oldest first."""

    status: str = STARTING
    streak: int = 0
    log: tuple[Check, ...] = ()

    def begun_anew(self) -> Health:
        """At another start of the container."""
        return Health(log=self.log)

    def after(self, check: Check, rule: Healthcheck, started: float) -> Health:
        """When that check has been made of a container that started then."""
        log = (*self.log, check)[-_MOST_LOG:]
        if check.exit_code == 0:
            return Health(HEALTHY, 0, log)
        excused = self.status == STARTING and (check.start - started) * _SECOND < rule.start_period
        streak = self.streak + (not excused)
        failed = streak >= (rule.retries if rule.retries > 0 else _RETRIES)
        return Health(UNHEALTHY if failed and not excused else self.status, streak, log)

    def pause(self, rule: Healthcheck, age: float) -> float:
        """Seconds until the next check of a container that is so many seconds old."""
        if self.status == STARTING and age * _SECOND < rule.start_period:
            return (rule.start_interval or _START_INTERVAL) / _SECOND
        return (rule.interval or _INTERVAL) / _SECOND


def rule(found: Healthcheck | None) -> Healthcheck | None:
    """The same where there is anything to be executed."""
    return found if found and command(found) else None


def command(found: Healthcheck) -> tuple[str, ...]:
    """What is executed for a check; nothing where there is none to be made."""
    kind, *words = found.test or ("NONE",)
    if kind == "CMD-SHELL" and words:
        return ("/bin/sh", "-c", words[0])
    return tuple(words) if kind == "CMD" else ()


def check_action(action: str, found: Healthcheck | None) -> None:
    """RootlessError where something is to be done on failures, and there is no check."""
    if not rule(found):
        raise RootlessError(
            f"cannot set on-failure action to {action} without a health check",
            hint="one comes with HEALTHCHECK of the image, or --health-cmd",
        )


def timeout(found: Healthcheck) -> float:
    """Seconds that a check may take."""
    return (found.timeout or _TIMEOUT) / _SECOND


def merged(own: Healthcheck | None, image: Healthcheck | None) -> Healthcheck | None:
    """What the user says, and the image where the user says nothing."""
    if own is None or image is None:
        return own or image
    if own.test[:1] == ("NONE",):
        return own
    return Healthcheck(
        own.test or image.test,
        own.interval or image.interval,
        own.timeout or image.timeout,
        own.start_period or image.start_period,
        own.start_interval or image.start_interval,
        own.retries or image.retries,
    )


def decode(value: object) -> Health:
    """From health.json's object; IntegrityError names the field that is wrong."""
    return record_json.decode(Health, value, "health.json")
