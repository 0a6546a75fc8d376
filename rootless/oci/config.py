"""The image configuration, image-spec config.md, with Docker's extensions.

`ImageConfig` is one flat frozen value; the build's metadata instructions are functions from one
to the next. JSON's nested spelling exists only in `decode` and `encode`.
"""

from __future__ import annotations

from rootless import leanjson
from rootless.errors import IntegrityError
from rootless.oci.descriptor import text, text_list, text_map
from rootless.oci.digest import Digest
from rootless.oci.platform import Platform
from rootless.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from typing import Any

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class Healthcheck(Record):
    """Docker's HEALTHCHECK; times in nanoseconds, 0 means the default."""

    test: tuple[str, ...]
    interval: int = 0
    timeout: int = 0
    start_period: int = 0
    start_interval: int = 0
    retries: int = 0


class History(Record):
    """One instruction that made the image; `empty_layer` when it made no layer."""

    created: str = ""
    created_by: str = ""
    comment: str = ""
    author: str = ""
    empty_layer: bool = False


class ImageConfig(Record):
    """How to run an image and what it is made of; `diff_ids` and `history` base first.

    `created` is RFC 3339 or empty. `env` holds `NAME=value`. `entrypoint` and `cmd` are None
    when unset and () when set to nothing. `exposed_ports` look like `80/tcp`.
    """

    platform: Platform
    created: str = ""
    author: str = ""
    user: str = ""
    env: tuple[str, ...] = ()
    entrypoint: tuple[str, ...] | None = None
    cmd: tuple[str, ...] | None = None
    working_dir: str = ""
    labels: Mapping[str, str] = {}
    exposed_ports: tuple[str, ...] = ()
    volumes: tuple[str, ...] = ()
    stop_signal: str = ""
    shell: tuple[str, ...] = ()
    healthcheck: Healthcheck | None = None
    onbuild: tuple[str, ...] = ()
    diff_ids: tuple[Digest, ...] = ()
    history: tuple[History, ...] = ()

    @property
    def environment(self) -> dict[str, str]:
        """`env` as a dictionary, in order."""
        return dict(entry.partition("=")[::2] for entry in self.env)

    def with_env(self, values: Mapping[str, str]) -> ImageConfig:
        """The config with variables set, each at its old place if it had one."""
        if not values:
            return self
        environment = {**self.environment, **values}
        return self.replace(env=tuple(f"{key}={item}" for key, item in environment.items()))

    def without_env(self, names: Collection[str]) -> ImageConfig:
        """The config without these variables."""
        if not names:
            return self
        kept = (one for one in self.env if one.partition("=")[0] not in names)
        return self.replace(env=tuple(kept))

    @classmethod
    def decode(cls, content: bytes) -> ImageConfig:
        """From a config blob; IntegrityError names the field that is wrong."""
        return cls.of(leanjson.loads(content, "the image config"))

    @classmethod
    def of(cls, value: object) -> ImageConfig:
        """From the JSON object of a config; IntegrityError names the field that is wrong."""
        if not isinstance(value, dict):
            raise IntegrityError("the image config is not a JSON object")
        rootfs = _object(value.get("rootfs"), "rootfs")
        names = [text(value.get(key), key) for key in ("os", "architecture", "variant")]
        return cls(
            platform=Platform.make(names[0] or "linux", names[1], names[2]),
            created=text(value.get("created"), "created"),
            author=text(value.get("author"), "author"),
            **decode_run(value.get("config")),
            diff_ids=tuple(map(Digest.parse, text_list(rootfs.get("diff_ids"), "diff_ids"))),
            history=_decode_history(value.get("history")),
        )

    def encode(self) -> bytes:
        """The config blob: the same value always gives the same bytes."""
        value: dict[str, Any] = {"created": self.created} if self.created else {}
        if self.author:
            value["author"] = self.author
        value["architecture"] = self.platform.architecture
        if self.platform.variant:
            value["variant"] = self.platform.variant
        value["os"] = self.platform.os
        value["config"] = encode_run(self)
        value["rootfs"] = {"type": "layers", "diff_ids": [str(one) for one in self.diff_ids]}
        value["history"] = [_encode_history(entry) for entry in self.history]
        return leanjson.dumps(value)


def decode_run(value: object) -> dict[str, Any]:
    """The fields of ImageConfig that `encode_run` makes an object of; errors as of `decode`."""
    run = _object(value, "config")
    return {
        "user": text(run.get("User"), "User"),
        "env": text_list(run.get("Env"), "Env"),
        "entrypoint": _argv(run.get("Entrypoint"), "Entrypoint"),
        "cmd": _argv(run.get("Cmd"), "Cmd"),
        "working_dir": text(run.get("WorkingDir"), "WorkingDir"),
        "labels": text_map(run.get("Labels"), "Labels"),
        "exposed_ports": tuple(_object(run.get("ExposedPorts"), "ExposedPorts")),
        "volumes": tuple(_object(run.get("Volumes"), "Volumes")),
        "stop_signal": text(run.get("StopSignal"), "StopSignal"),
        "shell": text_list(run.get("Shell"), "Shell"),
        "healthcheck": _decode_healthcheck(run.get("Healthcheck")),
        "onbuild": text_list(run.get("OnBuild"), "OnBuild"),
    }


def encode_run(config: ImageConfig) -> dict[str, Any]:
    """The object `config` of the blob: how a container is run."""
    every: dict[str, Any] = {
        "User": config.user,
        "ExposedPorts": {port: {} for port in config.exposed_ports},
        "Env": list(config.env),
        "Entrypoint": None if config.entrypoint is None else list(config.entrypoint),
        "Cmd": None if config.cmd is None else list(config.cmd),
        "Healthcheck": _encode_healthcheck(config.healthcheck),
        "Volumes": {path: {} for path in config.volumes},
        "WorkingDir": config.working_dir,
        "Labels": dict(config.labels),
        "StopSignal": config.stop_signal,
        "Shell": list(config.shell),
        "OnBuild": list(config.onbuild),
    }
    keep_empty = ("Entrypoint", "Cmd")
    return {
        key: item for key, item in every.items() if item or (key in keep_empty and item is not None)
    }


def _encode_history(entry: History) -> dict[str, Any]:
    every = {
        "created": entry.created,
        "created_by": entry.created_by,
        "author": entry.author,
        "comment": entry.comment,
        "empty_layer": entry.empty_layer,
    }
    return {key: item for key, item in every.items() if item}


def _decode_history(value: object) -> tuple[History, ...]:
    if value is None:
        return ()
    if not isinstance(value, list):
        raise IntegrityError("history is not a list")
    entries = [_object(entry, "history") for entry in value]
    words = ("created", "created_by", "comment", "author")
    return tuple(
        History(
            **{word: text(entry.get(word), f"history.{word}") for word in words},
            empty_layer=entry.get("empty_layer") is True,
        )
        for entry in entries
    )


def _encode_healthcheck(check: Healthcheck | None) -> dict[str, Any]:
    if check is None:
        return {}
    every = {
        "Test": list(check.test),
        "Interval": check.interval,
        "Timeout": check.timeout,
        "StartPeriod": check.start_period,
        "StartInterval": check.start_interval,
        "Retries": check.retries,
    }
    return {key: item for key, item in every.items() if item}


def _decode_healthcheck(value: object) -> Healthcheck | None:
    if value is None:
        return None
    check = _object(value, "Healthcheck")
    words = ("Interval", "Timeout", "StartPeriod", "StartInterval", "Retries")
    numbers = [check.get(word) or 0 for word in words]
    if not all(type(number) is int for number in numbers):
        raise IntegrityError("Healthcheck holds a time that is not a number")
    return Healthcheck(text_list(check.get("Test"), "Healthcheck.Test"), *numbers)


def _argv(value: object, what: str) -> tuple[str, ...] | None:
    return None if value is None else text_list(value, what)


def _object(value: object, what: str) -> dict[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise IntegrityError(f"{what} is not a JSON object")
    return value
