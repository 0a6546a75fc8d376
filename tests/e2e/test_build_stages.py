"""Stages that need nothing of each other are built at the same time."""

from __future__ import annotations

import os

import pytest

from tests.support import flattened, processes

pytestmark = pytest.mark.needs("userns", "subids", "overlay", "busybox")


def together(name: str, count: int, then: str) -> str:
    """A RUN that goes on when `count` of these have begun, however slow the machine is."""
    arrived = f"[ $(ls /met | wc -l) -ge {count} ]"
    wait = f"for i in $(seq 1200); do {arrived} && break; sleep 0.05; done"
    return f"RUN --mount=type=cache,target=/met touch /met/{name}; {wait}; {then}\n"


DOCKERFILE = f"""\
FROM busybox AS a
{together("a", 2, "echo a > /a")}
FROM busybox AS b
{together("b", 2, "echo b > /b")}
RUN echo $(cat /b)b > /b
FROM a AS c
RUN cp /a /c
FROM scratch
COPY --from=a /a /
COPY --from=b /b /
COPY --from=c /c /
"""


@pytest.fixture
def build(rootless, busybox_image, tmp_path):
    rootless.load(busybox_image, tmp_path)

    def run(text, jobs="4"):
        words = ("build", "--progress=plain", "--jobs", jobs, "-t", "test", "-")
        return rootless(*words, stdin=text)

    return run


def test_both_run_before_either_is_done(build, rootless, tmp_path):
    result = build(DOCKERFILE)
    assert result.exit == 0, result.stderr
    lines = result.stderr.splitlines()
    runs = [line.split()[0] for line in lines if "] RUN " in line]
    done = [at for at, line in enumerate(lines) if " DONE " in line and line.split()[0] in runs]
    for word in ("[a 2/2] RUN", "[b 2/3] RUN"):
        assert next(at for at, line in enumerate(lines) if word in line) < done[0]
    rootless.ok("save", "-o", tmp_path / "test.tar", "test")
    files, config = flattened.read(tmp_path / "test.tar")
    contents = {name: file.content for name, file in files.items() if name != "."}
    assert contents == {"a": "a\n", "b": "bb\n", "c": "a\n"}
    assert len(config["rootfs"]["diff_ids"]) == 3


def test_all_of_it_is_cached(build):
    first = build(DOCKERFILE)
    second = build(DOCKERFILE)
    assert second.stderr.count(" CACHED\n") == 8
    assert first.stderr.splitlines()[-3:-1] == second.stderr.splitlines()[-3:-1]


def test_one_that_fails_stops_the_others(build, rootless):
    sleep = f"sleep {processes.some_seconds()}"
    result = build(
        f"FROM busybox AS a\nRUN true\nRUN {sleep}\nFROM busybox AS b\nRUN true\nRUN exit 5\n"
        "FROM scratch\nCOPY --from=a /a /\nCOPY --from=b /b /\n"
    )
    assert result.exit == 1
    assert "exit code: 5" in result.stderr
    assert "   6 | >>> RUN exit 5" in result.stderr
    processes.wait_until_gone(sleep)  # the kernel ends them one after the other
    assert os.listdir(rootless.root / "tmp") == []


@pytest.mark.parametrize(("jobs", "at_once"), [("1", 1), ("2", 2), ("9", 5)])
def test_no_more_than_jobs_at_a_time(build, jobs, at_once):
    stages = "".join(
        f"FROM busybox AS s{one}\n" + together(str(one), at_once, f"sleep 0.3; touch /{one}")
        for one in range(5)
    )
    copies = "".join(f"COPY --from=s{one} /{one} /\n" for one in range(5))
    result = build(f"{stages}FROM scratch\n{copies}", jobs)
    assert result.exit == 0, result.stderr
    working, most = 0, 0
    for line in result.stderr.splitlines():
        working += "] RUN " in line
        most = max(most, working)
        working -= " DONE " in line and working > 0
    assert most == at_once


@pytest.mark.parametrize("jobs", ["0", "-1", "many", ""])
def test_a_number_of_jobs_is_a_number(build, jobs):
    result = build(DOCKERFILE, jobs)
    assert result.exit != 0
    assert "is not a number of stages" in result.stderr


def test_what_two_stages_have_in_common_is_carried_out_once(build, rootless, tmp_path):
    """Each run of the command says another number: equal files show that there was one run."""
    common = "RUN tr -dc a-f0-9 < /dev/urandom | head -c 40 > /number\n"
    result = build(
        f"FROM busybox AS a\n{common}RUN cp /number /a\n"
        f"FROM busybox AS b\n{common}RUN cp /number /b\n"
        "FROM scratch\nCOPY --from=a /a /\nCOPY --from=b /b /\n"
    )
    assert result.exit == 0, result.stderr
    assert result.stderr.count("RUN tr") == 1
    rootless.ok("save", "-o", tmp_path / "test.tar", "test")
    files, _ = flattened.read(tmp_path / "test.tar")
    assert files["a"].content == files["b"].content
    assert len(files["a"].content) == 40


def test_steps_run_beside_the_stage_that_is_copied_from_later(build):
    result = build(
        f"FROM busybox AS a\n{together('a', 2, 'touch /a')}"
        f"FROM busybox AS b\n{together('b', 2, 'true')}COPY --from=a /a /\n"
    )
    assert result.exit == 0, result.stderr
    lines = result.stderr.splitlines()
    done = next(at for at, line in enumerate(lines) if " DONE " in line and "#1" not in line)
    starts = [at for at, line in enumerate(lines) if "] RUN " in line]
    assert len(starts) == 2
    assert max(starts) < done
