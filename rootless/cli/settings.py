"""What the environment and the global flags say; the only place that reads the environment."""

from __future__ import annotations

import os

from rootless.errors import NotFoundError, UsageError
from rootless.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping


class Settings(Record):
    """`root` holds the store, `runtime_dir` what runs now; both absolute.

    `environment` is the user's own, for the flags that copy from it (`-e NAME`). `as_podman` says
    that podman's answers are expected where docker's are others. `own_rules` is a folder with
    registries.conf.d and certs.d of this command alone, which come before the user's; "" for none.
    """

    root: str
    runtime_dir: str
    environment: Mapping[str, str]
    debug: bool = False
    as_podman: bool = False
    own_rules: str = ""

    @property
    def auth_files(self) -> tuple[str, ...]:
        """Where registry credentials may be, first match first: docker's file, then podman's.

        The first is where a login is kept; there is none without a home.
        """
        explicit = self.environment.get("REGISTRY_AUTH_FILE")
        if explicit:
            return (explicit,)
        runtime = _directory(self.environment, "XDG_RUNTIME_DIR")
        docker = self.environment.get("DOCKER_CONFIG") or self._in_home(".docker")
        places = (
            docker and f"{docker}/config.json",
            runtime and f"{runtime}/containers/auth.json",
            self._config and f"{self._config}/containers/auth.json",
        )
        return tuple(place for place in places if place)

    @property
    def auth_text(self) -> str:
        """Logins in the environment, as docker reads them there before all files; "" for none."""
        if self.environment.get("REGISTRY_AUTH_FILE"):
            return ""
        return self.environment.get("DOCKER_AUTH_CONFIG", "")

    def with_logins(self, path: str | None) -> Settings:
        """The same with the logins of --authfile alone; NotFoundError when that is not there."""
        if path is None:
            return self
        if not os.path.exists(path):
            raise NotFoundError(
                f"there is no file of logins at {path}", hint="rootless login --authfile writes one"
            )
        named = {"REGISTRY_AUTH_FILE": os.path.abspath(path)}
        return self.replace(environment={**self.environment, **named})

    @property
    def registries_files(self) -> tuple[str, ...]:
        """Where rules for registries may be, of which the first counts."""
        if explicit := self.environment.get("CONTAINERS_REGISTRIES_CONF"):
            if not os.path.exists(explicit):  # who names rules does not want to be without them
                raise NotFoundError(f"CONTAINERS_REGISTRIES_CONF: there is no file {explicit}")
            return (explicit,)
        return (*self._containers("registries.conf"), "/etc/containers/registries.conf")

    @property
    def registries_folders(self) -> tuple[str, ...]:
        """Where more rules may be, of which the last counts."""
        own = (f"{self.own_rules}/registries.conf.d",) if self.own_rules else ()
        return ("/etc/containers/registries.conf.d", *self._containers("registries.conf.d"), *own)

    @property
    def certificate_folders(self) -> tuple[str, ...]:
        """Where folders of certificates may be, of which the first counts: podman's, docker's."""
        docker = (f"{self._config}/docker/certs.d",) if self._config else ()
        system = ("/etc/containers/certs.d", "/etc/docker/certs.d")
        own = (f"{self.own_rules}/certs.d",) if self.own_rules else ()
        return (*own, *self._containers("certs.d"), *docker, *system)

    @property
    def proxies(self) -> dict[str, str]:
        """The proxies for `http` and `https`, and the hosts that need none (`no`)."""
        found = {name: self._variable(f"{name}_proxy") for name in ("http", "https", "no")}
        for name in ("http", "https"):
            found[name] = found[name] or self._variable("all_proxy")
        return {name: value for name, value in found.items() if value}

    def _variable(self, name: str) -> str:
        """A variable that is written in lower case, which wins, or in upper case."""
        return self.environment.get(name) or self.environment.get(name.upper()) or ""

    def _containers(self, name: str) -> tuple[str, ...]:
        """The user's own file for all programs of the containers family."""
        return (f"{self._config}/containers/{name}",) if self._config else ()

    @property
    def _config(self) -> str:
        return _directory(self.environment, "XDG_CONFIG_HOME") or self._in_home(".config")

    def _in_home(self, name: str) -> str:
        """A path in the user's home; "" when there is none."""
        home = self.environment.get("HOME")
        return f"{home}/{name}" if home else ""


def _directory(environment: Mapping[str, str], name: str) -> str:
    """What a variable of the XDG Base Directory specification says; a relative one says nothing."""
    path = environment.get(name, "")
    return path if path.startswith("/") else ""


def _home(environment: Mapping[str, str]) -> str:
    """$HOME; where that says nothing, as in a service, what passwd(5) does; else ""."""
    if (home := environment.get("HOME", "")).startswith("/"):
        return home
    import pwd

    try:
        home = pwd.getpwuid(os.getuid()).pw_dir
    except KeyError:
        return ""
    return home if home.startswith("/") else ""


def read(
    environment: Mapping[str, str],
    *,
    root: str | None = None,
    debug: bool = False,
    homeless: bool = False,
) -> Settings:
    """The settings under `environment`; `root` is the global flag and wins.

    Only who is `homeless` goes on without a place for images: it is "" then.
    """
    if root == "":
        raise UsageError(
            "--root is empty", hint="name a directory, or leave --root out for the usual one"
        )
    if (home := _home(environment)) and home != environment.get("HOME"):
        environment = {**environment, "HOME": home}
    share = _directory(environment, "XDG_DATA_HOME") or (home and f"{home}/.local/share")
    root = root or environment.get("ROOTLESS_ROOT") or (share and f"{share}/rootless")
    if not root and homeless:
        return Settings("", "", environment, debug)
    if not root:
        from rootless import complaints

        raise UsageError(complaints.NO_PLACE, hint=complaints.PLACE + complaints.SEE_DOCTOR)
    try:
        root = os.path.abspath(root)
    except FileNotFoundError:
        from rootless import complaints

        raise complaints.explain_no_directory() from None
    runtime = _directory(environment, "XDG_RUNTIME_DIR")
    return Settings(root, f"{runtime}/rootless" if runtime else f"{root}/run", environment, debug)
