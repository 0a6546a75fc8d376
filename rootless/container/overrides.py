"""What the user changes in how an image runs: docker's rules for who wins. Pure."""

from __future__ import annotations

from rootless.container import health
from rootless.errors import RootlessError
from rootless.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from rootless.oci.config import Healthcheck, ImageConfig


class Overrides(Record):
    """`entrypoint` and `command` replace the image's; None keeps them, () unsets an entrypoint."""

    command: tuple[str, ...] = ()
    entrypoint: tuple[str, ...] | None = None
    env: Mapping[str, str] = {}
    user: str | None = None
    working_dir: str = ""
    labels: Mapping[str, str] = {}
    exposed_ports: tuple[str, ...] = ()
    volumes: tuple[str, ...] = ()
    stop_signal: str = ""
    healthcheck: Healthcheck | None = None

    def over(self, config: ImageConfig) -> ImageConfig:
        """How the container runs, as an image made of it will say; docker's rules and order.

        An entrypoint of the user's own drops the image's CMD.
        """
        entrypoint, cmd = config.entrypoint, self.command or config.cmd
        if self.entrypoint is not None:
            entrypoint, cmd = self.entrypoint or None, self.command or None
        kept = {name: value for name, value in config.environment.items() if name not in self.env}
        env = {**self.env, **kept}
        return config.replace(
            user=config.user if self.user is None else self.user,
            env=tuple(f"{name}={value}" for name, value in env.items()),
            entrypoint=entrypoint,
            cmd=cmd,
            working_dir=self.working_dir or config.working_dir,
            labels={**config.labels, **self.labels},
            exposed_ports=tuple(dict.fromkeys((*config.exposed_ports, *self.exposed_ports))),
            volumes=tuple(dict.fromkeys((*config.volumes, *self.volumes))),
            stop_signal=self.stop_signal or config.stop_signal,
            healthcheck=health.merged(self.healthcheck, config.healthcheck),
            shell=(),
            onbuild=(),
        )


def check(config: ImageConfig, image: str) -> None:
    """RootlessError where nothing can be executed, or not there."""
    if not (*(config.entrypoint or ()), *(config.cmd or ())):
        raise RootlessError(
            "no command is given, and the image has none",
            hint=f"write one: rootless run {image} COMMAND",
        )
    if not (config.working_dir or "/").startswith("/"):
        raise RootlessError(
            f"the working directory {config.working_dir!r} is not an absolute path",
            hint="begin it with / : it is a path inside the container",
        )
