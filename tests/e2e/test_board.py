"""docs/board.md as a user types it: nginx, a page, redis and PostgreSQL of Debian's packages."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from tests.support.machine import PROJECT
from tests.support.page import asked, until
from tests.support.ports import free_port
from tests.support.processes import saying, wait_until

pytestmark = pytest.mark.needs(
    *("userns", "subids", "overlay", "registry", "network", "mirror", "pasta")
)
PARTS = ("front", "app", "cache", "db")
RUN = ("run", "-d", "--network", "board", "--restart", "always", "--name")
DB = ("-v", "notes:/var/lib/db", "--shm-size", "96m", "--ulimit", "nofile=1024:2048")
NOTES = ["Water the plants", "Grüße: 'quoted'; --"]


@pytest.fixture
def store(rootless, registry, debian_image):
    pulled = registry.push(debian_image, "board/debian:bookworm")
    rootless.ok("pull", "-q", "--tls-verify=false", pulled)
    rootless.ok("tag", pulled, debian_image.name)
    yield rootless
    rootless("rm", "-f", *PARTS)
    rootless("network", "rm", "board")


def read(port):
    """(how often it was read, the notes), as soon as every part answers."""
    _, text = until(lambda: asked(port), lambda answer: answer[0] == 200, "the board")
    first, *notes = text.splitlines()
    return int(first.removeprefix("read ").removesuffix(" times")), notes


def write(port, note):
    """What the page says to a new note; the database may come later, a note is kept once."""
    return until(lambda: asked(port, data=note.encode()), lambda said: said[0] == 200, "a note")[1]


def psql(store, statement):
    return store.ok("exec", "-u", "postgres", "db", "psql", "-Atc", statement)


def test_the_story(store):
    store.ok("bake", cwd=PROJECT / "examples" / "board")
    port = free_port()
    start(store, port)
    assert write(port, NOTES[0]) == "note 1\n"
    assert write(port, NOTES[1]) == "note 2\n"
    assert read(port)[1] == NOTES
    assert asked(port, "about") == (200, "<h1>A board for notes</h1>\n")
    look_at_the_database(store)
    look_at_nginx(store)
    stop_and_start(store, port)
    kill(store, port)
    replace(store, port)
    take_away(store, port)


def start(store, port):
    store.ok("network", "create", "board")
    store.ok(*RUN, "db", *DB, "-e", "POSTGRES_PASSWORD=secret", "board-db")
    store.ok(*RUN, "cache", "-v", "readers:/var/lib/redis", "board-cache")
    store.ok(*RUN, "app", "board-app")
    bare = ("--read-only", "--tmpfs", "/run", "--tmpfs", "/var/lib/nginx")
    store.ok(*RUN, "front", "-p", f"127.0.0.1:{port}:80", *bare, "board-front")


def look_at_the_database(store):
    assert psql(store, "SELECT text FROM notes WHERE id = 1") == f"{NOTES[0]}\n"
    with_password = "PGPASSWORD=$POSTGRES_PASSWORD psql -h db -U postgres -Atc 'SELECT 1'"
    assert store.ok("exec", "db", "sh", "-c", with_password) == "1\n"
    refused = store("exec", "-e", "PGPASSWORD=wrong", "db", "psql", "-h", "db", "-U", "postgres")
    assert refused.exit == 2
    assert "password authentication failed" in refused.stderr
    assert store.ok("exec", "db", "df", "--output=size", "-m", "/dev/shm").split()[-1] == "96"
    limits = store.ok("exec", "db", "grep", "Max open files", "/proc/1/limits").split()
    assert limits[3:5] == ["1024", "2048"]
    owner = ("exec", "db", "stat", "-c", "%U %a", "/var/lib/db/data", "/proc/1")
    assert store.ok(*owner) == "postgres 700\npostgres 555\n"
    assert "postgres: checkpointer" in store.ok("top", "db", "-eo", "pid,args")
    listed = ("ps", "--filter", "name=db")
    until(lambda: store.ok(*listed), lambda said: "(healthy)" in said, "health")


def look_at_nginx(store):
    assert "GET /about" in store.ok("logs", "front")
    listed = store.ok("top", "front", "-eo", "user:20,pid,args").splitlines()[1:]
    assert len({line.split()[0] for line in listed}) == 2, "the master is root, its workers are not"
    store.ok("exec", "front", "nginx", "-s", "reload")
    refused = store("exec", "front", "touch", "/etc/nginx/x")
    assert refused.stderr.endswith("Read-only file system\n")


def stop_and_start(store, port):
    store.ok("stop", "-t", "60", "db")
    logged = store("logs", "db").stderr
    assert "received fast shutdown request" in logged, "STOPSIGNAL is SIGINT"
    assert "database system is shut down" in logged
    _, text = until(lambda: asked(port), lambda answer: answer[0] == 503, "a page without notes")
    assert '"db"' in text
    store.ok("start", "db")
    assert read(port)[1] == NOTES


def kill(store, port):
    """kill -9 of what each consists of: no verb asked for that, so each is started again."""
    killed_from_outside(store, "db")
    readers, found = read(port)
    assert found == NOTES, "it was killed in the middle, and recovers"
    assert "database system was interrupted" in store("logs", "db").stderr
    for part in ("cache", "front"):
        killed_from_outside(store, part)
        counted, found = read(port)
        assert found == NOTES
        assert counted > readers, "every reader before is remembered"
        readers = counted


def killed_from_outside(store, name):
    told = ("inspect", "--format", "{{.State.Pid}} {{.RestartCount}} {{.State.Running}}", name)
    supervisor, count, _ = store.ok(*told).split()
    children = Path(f"/proc/{supervisor}/task/{supervisor}/children").read_text().split()
    os.kill(int(children[0]), signal.SIGKILL)
    until(
        lambda: store.ok(*told).split(),
        lambda now: now[0] != supervisor and now[1:] == [str(int(count) + 1), "true"],
        f"the restart of {name}",
    )


def replace(store, port):
    """Others on the same volumes and names: what they have is in the volumes."""
    assert write(port, "Third") == "note 3\n"
    readers, _ = read(port)
    store.ok("rm", "-f", "db", "cache")
    store.ok(*RUN, "cache", "-v", "readers:/var/lib/redis", "board-cache")
    store.ok(*RUN, "db", "-u", "postgres", *DB, "board-db")  # never root, and no password needed
    counted, found = read(port)
    assert found == [*NOTES, "Third"]
    assert counted > readers
    assert psql(store, "SELECT count(*) FROM notes") == "3\n"
    assert store.ok("exec", "db", "id", "-un") == "postgres\n"


def take_away(store, port):
    store.ok("rm", "-f", *PARTS)
    store.ok("network", "rm", "board")
    store.ok("volume", "rm", "notes", "readers")
    store.ok("rmi", *(f"board-{part}" for part in PARTS))
    assert asked(port)[0] == 0
    for folder in ("containers", "volumes", "tmp"):
        assert os.listdir(store.root / folder) == []
    wait_until(lambda: not saying(str(store.root)), "the end of all processes")
    assert str(store.root) not in Path("/proc/self/mountinfo").read_text()
