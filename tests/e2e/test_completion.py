"""Completion, asked for as bash does it."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.needs("userns")

ASK = """
rootless() {{ {python} -m rootless "$@"; }}; export -f rootless
env() {{
    local set=()
    while [[ $1 == *=* ]]; do set+=("$1"); shift; done
    command env "${{set[@]}}" bash -c '"$@"' _ "$@"
}}
{before}
eval "$(rootless completion bash)"
line={line!r}
COMP_LINE=$line COMP_POINT=${{#line}} COMP_WORDS=($line) COMP_CWORD=1
compopt() {{ echo "option $2"; }}
$(complete -p {command} | sed 's/.*-F \\([^ ]*\\).*/\\1/')
[ ${{#COMPREPLY[@]}} = 0 ] || printf '%s\\n' "${{COMPREPLY[@]}}"
"""


@pytest.fixture
def ask(rootless):
    """What bash is given for a line that ends at the cursor."""

    def ask(line, command="rootless", before=""):
        script = ASK.format(python=sys.executable, line=line, command=command, before=before)
        done = subprocess.run(
            ["bash", "-c", script], capture_output=True, text=True, check=True,
            env={**rootless.environment, "ROOTLESS_ROOT": str(rootless.root)},
        )  # fmt: skip
        assert done.stderr == ""
        return done.stdout.split("\n")[:-1]

    return ask


@pytest.fixture
def images(rootless, tmp_path):
    """Three names."""
    archive = tmp_path / "empty.tar"
    archive.write_bytes(bytes(10240))
    rootless.ok("import", archive, "127.0.0.1:5000/team/app:v1")
    rootless.ok("tag", "127.0.0.1:5000/team/app:v1", "app:v2")
    rootless.ok("tag", "app:v2", "app")


def test_builders_and_what_their_cache_is_asked_for(ask, rootless):
    assert ask("rootless build --builder r") == ["rootless"]
    rootless.ok("buildx", "create", "--name", "runner")
    assert ask("rootless build --builder r") == ["rootless", "runner"]
    assert ask("rootless buildx rm ru") == ["runner"]
    assert ask("rootless builder p") == ["prune"]
    assert ask("rootless build --progress r") == ["rawjson"]
    assert ask("rootless builder du --filter in") == ["inuse"]


def test_verbs_flags_and_choices(ask):
    assert ask("rootless im") == ["image", "images", "import"]
    assert ask("rootless image l") == ["list", "load", "ls"]
    assert ask("rootless run --netw") == ["--network", "--network-alias"]
    assert ask("rootless run --network n") == ["none"]
    assert ask("rootless images --filter dang") == ["dangling=false", "dangling=true"]


def test_images_before_and_after_a_colon(ask, images):
    assert ask("rootless run ap") == ["app", "app:v2"]
    assert ask("rootless run app:") == ["latest", "v2"]
    assert ask("rootless run 127.0.0.1:5000/te") == ["5000/team/app:v1"]
    assert ask("rootless rmi 127.0.0.1:5000/team/app:") == ["v1"]


def test_an_alias_is_completed_too(ask, images):
    before = "shopt -s expand_aliases; alias docker=rootless"
    assert ask("docker run app:", "docker", before) == ["latest", "v2"]


def test_stages_of_the_dockerfile(ask, tmp_path):
    (tmp_path / "Dockerfile").write_text("FROM a AS builder\nRUN x\nfrom builder as final\n")
    before = f"cd {tmp_path}"
    assert ask("rootless build --target ", before=before) == ["builder", "final"]
    assert ask("rootless build --target f", before=before) == ["final"]
    assert ask("rootless build --target ", before="cd /") == []


def test_targets_of_the_bake_files(ask, tmp_path):
    file = tmp_path / "some.hcl"
    file.write_text('group "all" {\n  targets = ["app"]\n}\ntarget "app" {\n}\n')
    assert ask(f"rootless bake -f {file} a") == ["all", "app"]
    assert ask(f"rootless bake -f {file} app al") == ["all"]
    assert ask(f"rootless bake -f {tmp_path / 'none.hcl'} a") == []
    assert ask("rootless bake --list v") == ["variables"]


def test_files_and_directories_are_left_to_bash(ask):
    assert ask("rootless build -f ") == ["option default"]
    assert ask("rootless load -i x") == ["option default"]


def test_a_store_that_cannot_be_read_completes_to_nothing(ask, rootless, images):
    os.truncate(rootless.root / "index.json", 5)
    assert ask("rootless run ap") == []


@pytest.mark.needs("overlay", "busybox")
def test_containers(ask, rootless, busybox_image, tmp_path):
    name = rootless.load(busybox_image, tmp_path)
    rootless.ok("run", "--network", "none", "--name", "first", name, "true")
    assert ask("rootless rm fi") == ["first"]
