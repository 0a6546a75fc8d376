"""`generate systemd`: what the unit says. That it works is shown in tests/e2e/test_vm.py."""

import re
import subprocess
import sys

import pytest

pytestmark = pytest.mark.needs("userns", "subids", "overlay", "busybox")


@pytest.fixture
def store(rootless, busybox_image, tmp_path):
    rootless.load(busybox_image, tmp_path)
    return rootless


def _line(text: str, key: str) -> str:
    (found,) = re.findall(rf"^{key}=(.*)$", text, re.MULTILINE)
    return found


def test_a_unit_starts_and_stops_this_very_container(store):
    store.ok("create", "--name", "web", "busybox", "true")
    identity = store.ok("inspect", "-f", "{{.Id}}", "web").strip()
    unit = store.ok("generate", "systemd", "--name", "-t", "3", "web")
    start = f"{sys.executable} -m rootless --root {store.root}"
    assert unit.startswith("# container-web.service\n# Made by rootless ")
    assert _line(unit, "ExecStart") == f"{start} start --attach web"
    assert _line(unit, "ExecStop") == f"-{start} stop -t 3 web"
    assert (_line(unit, "TimeoutStopSec"), _line(unit, "Restart")) == ("63", "on-failure")
    assert store.ok("generate", "systemd", "web").startswith(f"# container-{identity}.service\n")


def test_a_container_is_made_anew_by_the_flags_it_was_made_with(store):
    flags = (
        "-dit",
        "--name",
        "web",
        "-e",
        "A=b c",
        "-e",
        "C=$D%",
        "-m64m",
        "--rm",
        "--network=none",
    )
    store.ok("create", *flags[1:], "busybox", "sh", "-c", "echo -d --name x")
    unit = store.ok("generate", "systemd", "--new", "--name", "--no-header", "web")
    start = f"{sys.executable} -m rootless --root {store.root} run --rm --name web "
    assert _line(unit, "ExecStart") == start + (
        '"--env=A=b c" --env=C=$$D%% --network=none --memory=64m busybox sh -c "echo -d --name x"'
    )
    assert " rm --force web" in _line(unit, "ExecStopPost")
    store.ok("create", "busybox", "true")
    nameless = store.ok("ps", "-lq").strip()
    store.ok("rename", nameless, "named")
    assert "--name named" in store.ok("generate", "systemd", "--new", "named")


def test_files_are_written_here(store, tmp_path):
    store.ok("create", "--name", "web", "busybox", "true")
    folder = tmp_path / "units"
    folder.mkdir()
    told = store.ok(
        "generate", "systemd", "-f", "-n", "--container-prefix", "ct", "web", cwd=folder
    )
    assert told == f"{folder}/ct-web.service\n"
    written = (folder / "ct-web.service").read_text()
    assert _line(written, "Description") == "Container web"
    refused = store("generate", "systemd", "-n", "--container-prefix", "a/b", "web")
    assert refused.exit == 1 and "cannot be the name of a unit" in refused.stderr
    (folder / "ct-web.service").unlink()
    (folder / "ct-web.service").mkdir()
    refused = store(
        "generate", "systemd", "-f", "-n", "--container-prefix", "ct", "web", cwd=folder
    )
    assert refused.exit == 1 and "cannot be written: Is a directory" in refused.stderr


def test_what_is_not_there_or_not_said_well(store):
    assert "No such container: nosuch" in store("generate", "systemd", "nosuch").stderr
    store.ok("create", "--name", "web", "busybox", "true")
    refused = store("generate", "systemd", "--restart-sec", "soon", "web")
    assert "--restart-sec 'soon' is not a number of seconds" in refused.stderr
    refused = store("generate", "systemd", "--restart-policy", "sometimes", "web")
    assert refused.exit == 125 and "on-failure" in refused.stderr


@pytest.mark.needs("systemd-analyze")
def test_systemd_finds_nothing_to_complain_about(store, tmp_path):
    store.ok("create", "--name", "web", "-e", "A=$(b) %c", "busybox", "true")
    store.ok("generate", "systemd", "-f", "-n", "--new", "web", cwd=tmp_path)
    told = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", tmp_path / "container-web.service"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "container-web.service" not in told.stderr, told.stderr
