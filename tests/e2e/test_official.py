"""`docker run …` lines of the official images' documentation, typed with docker for rootless."""

from __future__ import annotations

import subprocess
import sys
from typing import NamedTuple

import pytest

from tests.conftest import Rootless
from tests.support import child, official
from tests.support.page import asked, until
from tests.support.ports import free_port
from tests.support.terminal import Terminal

pytestmark = pytest.mark.needs(
    *("userns", "subids", "overlay", "registry", "network", "mirror", "pasta", "busybox")
)
PASSWORD = "-e POSTGRES_PASSWORD=mysecretpassword"


class Hub(NamedTuple):
    """A store with the images, and a shell in a directory of the test's own."""

    rootless: Rootless
    here: object

    def docker(self, line: str, code: int = 0) -> str:
        """What a line of bash says, in which docker is rootless; it ends with `code`."""
        words = f"{sys.executable} -m rootless --root {self.rootless.root}"
        script = f'docker() {{ {words} "$@"; }}; cd {self.here}; {line}'
        answer = subprocess.run(
            ["bash", "-c", script], capture_output=True, text=True, check=False, timeout=300,
            stdin=subprocess.DEVNULL, env=self.rootless.environment,
        )  # fmt: skip
        said = answer.stdout + answer.stderr
        assert answer.returncode == code, said
        return said

    def logs(self, name: str, words: str) -> str:
        """All that a container has said, as soon as it has said `words`."""
        return until(lambda: self.docker(f"docker logs {name}"), lambda said: words in said, words)

    def typed(self, line: str) -> Terminal:
        """The same in a terminal, for -it."""
        argv = line.removeprefix("docker ").split()
        return Terminal(self.rootless.command(*argv), self.rootless.environment)


@pytest.fixture(scope="module")
def made(tmp_path_factory, registry, debian_image):
    folder = tmp_path_factory.mktemp("official")
    store = Rootless(folder / "store")
    pulled = registry.push(debian_image, "official/debian:bookworm")
    store.ok("pull", "-q", "--tls-verify=false", pulled)
    store.ok("tag", pulled, debian_image.name)
    for name, context in official.contexts(folder):
        store.ok("build", "-q", "-t", name, context)
    yield store
    child.remove_tree(store.root)


@pytest.fixture
def hub(made, tmp_path):
    yield Hub(made, tmp_path)
    if names := made.ok("ps", "-aq").split():
        made("rm", "-f", "-v", *names)
    made("network", "rm", "some-network")
    made("volume", "prune", "-f", "-a")


def test_postgres(hub):
    hub.docker(f"docker run --name some-postgres {PASSWORD} -d postgres")
    assert "postgres  as 999:999 in /" in hub.logs("some-postgres", " as ")
    hub.docker("docker stop some-postgres")
    assert "got SIGINT" in hub.docker("docker logs some-postgres")
    hub.docker("docker start some-postgres")
    assert hub.docker("docker exec some-postgres cat /var/lib/postgresql/data/password") == (
        "mysecretpassword"
    ), "the anonymous volume is still there"
    owner = "docker exec some-postgres stat -c '%U %a' /var/lib/postgresql/data"
    assert hub.docker(owner) == "postgres 700\n"
    version = "docker exec -u postgres some-postgres sh -c 'cat $PGDATA/VERSION'"
    assert hub.docker(version) == "15\n"


def test_postgres_without_a_password(hub):
    said = hub.docker("docker run --name some-postgres postgres", code=1)
    assert "superuser password is not specified" in said


def test_postgres_with_a_secret_file(hub):
    (hub.here / "postgres-passwd").write_text("from a file\n")
    place = '-v "$PWD/postgres-passwd":/run/secrets/postgres-passwd:ro'
    variable = "-e POSTGRES_PASSWORD_FILE=/run/secrets/postgres-passwd"
    hub.docker(f"docker run --name some-postgres {variable} {place} -d postgres")
    hub.logs("some-postgres", " as 999:999")
    said = hub.docker("docker exec some-postgres sh -c 'cat $PGDATA/password'")
    assert said == "from a file"
    said = hub.docker(f"docker run --rm {variable} {PASSWORD} {place} postgres", code=1)
    assert "both POSTGRES_PASSWORD and POSTGRES_PASSWORD_FILE are set" in said


def test_postgres_is_told_more(hub):
    hub.docker(f"docker run -d --name some-postgres {PASSWORD} --shm-size=256MB postgres "
               "-c shared_buffers=256MB -c max_connections=200")  # fmt: skip
    said = hub.logs("some-postgres", " as ")
    assert "postgres -c shared_buffers=256MB -c max_connections=200 as 999:999" in said
    shown = hub.docker("docker exec some-postgres df --output=size -m /dev/shm")
    assert shown.split()[-1] == "256"


def test_postgres_on_a_directory_of_ours(hub):
    """Root of the container gives it to postgres; afterwards it is a subordinate id's."""
    (hub.here / "custom" / "mount").mkdir(parents=True)
    hub.docker(
        f"docker run -d --name some-postgres {PASSWORD} "
        "-e PGDATA=/var/lib/postgresql/data/pgdata "
        '-v "$PWD/custom/mount":/var/lib/postgresql/data postgres'
    )
    hub.logs("some-postgres", " as 999:999")
    assert (hub.here / "custom/mount/pgdata").stat().st_uid not in (0, 999)
    hub.docker("docker rm -f some-postgres")
    removed = 'docker run --rm -v "$PWD/custom/mount":/v debian:bookworm rm -rf /v/pgdata'
    hub.docker(removed)
    assert list((hub.here / "custom/mount").iterdir()) == []


def test_postgres_as_somebody_else(hub):
    """The page's way to an arbitrary user: a volume that is given to that one first."""
    hub.docker("docker volume create pgdata")
    hub.docker("docker run --rm -v pgdata:/var/lib/postgresql/data debian:bookworm "
               "chown -R 1000:1000 /var/lib/postgresql/data")  # fmt: skip
    hub.docker("docker run -d --name mine --user 1000:1000 "
               f"-v pgdata:/var/lib/postgresql/data {PASSWORD} postgres")  # fmt: skip
    assert "as 1000:1000" in hub.logs("mine", " as ")
    hub.docker("docker run -d --name named --user www-data -v /etc/passwd:/etc/passwd:ro "
               f"--tmpfs /var/lib/postgresql/data:mode=1777 {PASSWORD} postgres")  # fmt: skip
    assert "as 33:33" in hub.logs("named", " as ")


def test_postgres_is_asked_from_another_container(hub):
    hub.docker("docker network create some-network")
    hub.docker(f"docker run -d --name some-postgres --network some-network {PASSWORD} postgres")
    terminal = hub.typed("docker run -it --rm --network some-network postgres "
                         "psql -h some-postgres -U postgres")  # fmt: skip
    terminal.expect("found some-postgres")
    assert terminal.close() == 0


def test_postgres_runs_scripts_of_ours(hub):
    scripts = hub.here / "initdb"
    scripts.mkdir()
    (scripts / "init-user-db.sh").write_text("echo sourced by $(id -un)\n")
    (scripts / "tables.sql").write_text("CREATE TABLE t ();\n")
    hub.docker(f"docker run -d --name some-postgres {PASSWORD} "
               '-v "$PWD/initdb":/docker-entrypoint-initdb.d:ro postgres')  # fmt: skip
    said = hub.logs("some-postgres", " as ")
    assert "sourced by postgres" in said
    assert "running /docker-entrypoint-initdb.d/tables.sql" in said


def test_redis(hub):
    hub.docker("docker network create some-network")
    hub.docker("docker run --name some-redis --network some-network -d redis "
               "redis-server --save 60 1 --loglevel warning")  # fmt: skip
    said = hub.logs("some-redis", " as ")
    assert "redis-server --save 60 1 --loglevel warning as 999:999 in /data" in said
    terminal = hub.typed("docker run -it --network some-network --rm redis redis-cli -h some-redis")
    terminal.expect("PONG")
    assert terminal.close() == 0
    assert "6379/tcp" in hub.docker("docker ps --format '{{.Ports}}'")


def test_redis_with_its_own_configuration(hub):
    (hub.here / "conf").mkdir()
    (hub.here / "conf" / "redis.conf").write_text("maxmemory 2mb\n")
    hub.docker('docker run -d -v "$PWD/conf":/usr/local/etc/redis --restart unless-stopped '
               "--name myredis redis redis-server /usr/local/etc/redis/redis.conf")  # fmt: skip
    assert "maxmemory 2mb" in hub.logs("myredis", "maxmemory")
    hub.docker("docker run --rm -v /data redis sh -c '[ -w /data ]'")


def test_nginx(hub):
    content = hub.here / "content"
    content.mkdir()
    (content / "index.html").write_text("our page\n")
    port = free_port()
    hub.docker('docker run --name some-nginx -v "$PWD/content":/usr/share/nginx/html:ro '
               f"-d -p {port}:80 nginx")  # fmt: skip
    assert until(lambda: asked(port), lambda said: said[0] == 200, "the page")[1] == "our page\n"
    said = hub.logs("some-nginx", "started")
    assert "Configuration complete" in said
    assert "warned" in said, "links to /dev/stderr lead to the log"
    hub.docker("docker exec some-nginx sh -c '! touch /usr/share/nginx/html/x'")
    hub.docker("docker stop some-nginx")
    assert "got SIGQUIT" in hub.docker("docker logs some-nginx")


def test_nginx_gives_its_configuration_away(hub):
    hub.docker("docker run --name tmp-nginx-container -d nginx; "
               "docker cp tmp-nginx-container:/etc/nginx/nginx.conf $PWD/nginx.conf; "
               "docker rm -f tmp-nginx-container")  # fmt: skip
    assert (hub.here / "nginx.conf").read_text() == "events {}\n"
    said = hub.docker(
        'docker run --rm -v "$PWD/nginx.conf":/etc/nginx/nginx.conf:ro '
        "-e NGINX_ENTRYPOINT_QUIET_LOGS=1 nginx cat /etc/nginx/nginx.conf"
    )
    assert said == "events {}\n"


def test_nginx_on_a_read_only_root(hub):
    for name in ("nginx-cache", "nginx-pid", "log"):
        (hub.here / name).mkdir()
    port = free_port()
    hub.docker(f"docker run -d -p 127.0.0.1:{port}:80 --read-only -v $PWD/nginx-cache:"
               "/var/cache/nginx -v $PWD/nginx-pid:/var/run nginx")  # fmt: skip
    until(lambda: asked(port), lambda said: said[1] == "the default page\n", "the page")
    assert (hub.here / "nginx-pid" / "nginx.pid").read_text() == "1\n"


def test_nginx_debug_and_another_port(hub):
    port = free_port()
    hub.docker(f"docker run --name my-nginx -d -p {port}:8080 -e NGINX_PORT=8080 --user 101:101 "
               "--tmpfs /var/cache/nginx:uid=101 --tmpfs /var/run:mode=1777 --cap-drop ALL "
               "--security-opt no-new-privileges nginx nginx-debug -g 'daemon off;'")  # fmt: skip
    until(lambda: asked(port), lambda said: said[1] == "the default page\n", "the page")
    assert "nginx-debug -g daemon off;" in hub.docker("docker logs my-nginx")


def test_mysql(hub):
    hub.docker("docker run --name some-mysql -e MYSQL_ROOT_PASSWORD=my-secret-pw -d mysql "
               "--character-set-server=utf8mb4 --collation-server=utf8mb4_unicode_ci")  # fmt: skip
    said = hub.logs("some-mysql", " as ")
    assert "mysqld --character-set-server=utf8mb4 --collation-server=utf8mb4_unicode_ci" in said
    assert "as 999:999" in said, "su has changed it"
    hub.docker("docker exec some-mysql sh -c 'exec mysqldump --all-databases -uroot "
               '-p"$MYSQL_ROOT_PASSWORD"\' < /dev/null > all-databases.sql')  # fmt: skip
    dumped = (hub.here / "all-databases.sql").read_text()
    assert dumped == "mysql --all-databases -uroot -pmy-secret-pw\n"
    said = hub.docker("docker exec -i some-mysql sh -c 'exec mysql -uroot "
                      '-p"$MYSQL_ROOT_PASSWORD"\' < all-databases.sql')  # fmt: skip
    assert said == "mysql -uroot -pmy-secret-pw\n" + dumped
    assert "Usage: mysqld" in hub.docker("docker run --rm mysql --verbose --help")
    shell = hub.typed("docker exec -it some-mysql bash")
    shell.expect("root@")
    shell.type("exit 4\n")
    assert shell.close() == 4


def test_what_every_official_image_is_asked(hub):
    """The tests of official-images: override-cmd, utc, no-hard-coded-passwords."""
    for name in ("postgres", "mysql"):
        said = hub.docker(f"docker run --rm --network none {name} echo 'Hello  world'")
        assert said.splitlines()[-1] == "Hello  world"
        flags = "--rm --network none --entrypoint"
        assert hub.docker(f"docker run {flags} date {name} +%Z") == "UTC\n"
        shadow = "-c 'cut -d: -f2 /etc/shadow | sort -u'"
        assert set(hub.docker(f"docker run {flags} sh {name} {shadow}").split()) <= {"!", "*"}
        said = hub.docker(f"docker run {flags} '' {name} id -u", code=0)
        assert said == "0\n"
    said = hub.docker("docker inspect --format '{{.Config.StopSignal}} {{.Config.Volumes}} "
                      "{{.Config.ExposedPorts}} {{.Config.Entrypoint}}' postgres")  # fmt: skip
    assert said == ("SIGINT map[/var/lib/postgresql/data:{}] map[5432/tcp:{}] "
                    "[docker-entrypoint.sh]\n")  # fmt: skip


def test_busybox_and_debian(hub):
    shell = hub.typed("docker run -it --rm debian:bookworm bash")
    shell.expect("root@")
    shell.type("exit 3\n")
    assert shell.close() == 3
    said = hub.docker("docker run --rm --network none -e A -e B=2 --env-file <(echo C=3) "
                      "debian:bookworm bash -c 'echo \"[$A] $B $C $LANG\"'")  # fmt: skip
    assert said == "[] 2 3 \n"
    said = hub.docker(
        "docker run --rm --network none --user nobody:www-data -w /tmp "
        "--hostname box debian:bookworm sh -c 'id -un; id -gn; pwd; hostname'"
    )
    assert said.split() == ["nobody", "www-data", "/tmp", "box"]


@pytest.mark.needs("pypi")
def test_python(hub, python_image, tmp_path):
    hub.rootless.load(python_image, tmp_path)
    (hub.here / "your-daemon-or-script.py").write_text("import sys; print(sys.argv, __file__)\n")
    terminal = hub.typed(f"docker run -it --rm --name my-running-script -v {hub.here}:"
                         "/usr/src/myapp -w /usr/src/myapp python:3.12-alpine "
                         "python your-daemon-or-script.py one")  # fmt: skip
    terminal.expect("['your-daemon-or-script.py', 'one'] /usr/src/myapp/your-daemon-or-script.py")
    assert terminal.close() == 0
    shell = hub.typed("docker run -it --rm python:3.12-alpine")
    shell.expect(">>>")
    shell.type("exit(6)\n")
    assert shell.close() == 6
