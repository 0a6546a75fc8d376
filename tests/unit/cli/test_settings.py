"""Where things are, by the environment."""

import os
import pwd

import pytest

from rootless.cli import settings
from rootless.errors import NotFoundError, UsageError


def test_the_flag_wins_over_the_variables():
    environment = {"HOME": "/home/u", "XDG_DATA_HOME": "/data", "ROOTLESS_ROOT": "/root-var"}
    assert settings.read(environment, root="/flag").root == "/flag"
    assert settings.read(environment).root == "/root-var"
    del environment["ROOTLESS_ROOT"]
    assert settings.read(environment).root == "/data/rootless"
    del environment["XDG_DATA_HOME"]
    assert settings.read(environment).root == "/home/u/.local/share/rootless"


def test_what_runs_now_without_a_login():
    assert settings.read({"HOME": "/h", "XDG_RUNTIME_DIR": "/r"}).runtime_dir == "/r/rootless"
    assert settings.read({}, root="/store").runtime_dir == "/store/run"


def test_relative_paths_say_nothing():
    """As the XDG Base Directory specification wants it."""
    relative = dict.fromkeys(("XDG_DATA_HOME", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME"), "some/where")
    given = settings.read({"HOME": "/h", **relative})
    assert (given.root, given.runtime_dir) == (
        "/h/.local/share/rootless",
        "/h/.local/share/rootless/run",
    )
    assert given.auth_files == ("/h/.docker/config.json", "/h/.config/containers/auth.json")


def test_an_empty_flag_is_not_the_usual_store():
    """An unset variable of a script must not prune another store than it means."""
    with pytest.raises(UsageError, match="--root is empty"):
        settings.read({"HOME": "/h"}, root="")


def test_no_home_is_that_of_passwd():
    """As in a service; a relative one would be another folder with each `cd`."""
    home = pwd.getpwuid(os.getuid()).pw_dir
    for environment in ({}, {"HOME": ""}, {"HOME": "some/where"}):
        given = settings.read(environment)
        assert given.root == f"{home}/.local/share/rootless"
        assert given.auth_files[0] == f"{home}/.docker/config.json"


def test_no_home_of_nobody_is_a_clear_error(monkeypatch):
    monkeypatch.setattr(os, "getuid", lambda: 4_000_000_000)
    with pytest.raises(UsageError, match="HOME is not set, and this uid has no name"):
        settings.read({})


def test_dockers_logins_come_before_podmans():
    given = settings.read({"HOME": "/h", "XDG_RUNTIME_DIR": "/run/u"})
    assert given.auth_files == (
        "/h/.docker/config.json",
        "/run/u/containers/auth.json",
        "/h/.config/containers/auth.json",
    )
    assert settings.read({"HOME": "/h", "REGISTRY_AUTH_FILE": "/a"}).auth_files == ("/a",)


def test_proxies_lower_case_wins():
    given = settings.read({"HOME": "/h", "HTTP_PROXY": "A", "http_proxy": "b", "NO_PROXY": "c"})
    assert given.proxies == {"http": "b", "no": "c"}
    given = settings.read({"HOME": "/h", "all_proxy": "a", "https_proxy": "b"})
    assert given.proxies == {"http": "a", "https": "b"}


def test_rules_for_registries_are_the_users_then_the_machines(tmp_path):
    given = settings.read({"HOME": "/h"})
    assert given.registries_files == (
        "/h/.config/containers/registries.conf",
        "/etc/containers/registries.conf",
    )
    assert given.registries_folders[-1] == "/h/.config/containers/registries.conf.d"
    assert given.certificate_folders[0] == "/h/.config/containers/certs.d"
    named = {"HOME": "/h", "CONTAINERS_REGISTRIES_CONF": str(tmp_path / "rules")}
    with pytest.raises(NotFoundError, match="CONTAINERS_REGISTRIES_CONF"):
        settings.read(named).registries_files  # noqa: B018 - a property
    (tmp_path / "rules").touch()
    assert settings.read(named).registries_files == (str(tmp_path / "rules"),)
