"""Images with the shape of the Docker Hub's official ones, and of their documentation.

What is not the shape is small: the servers are shell and busybox. An entrypoint that begins as
root, gives the volume away and goes on as somebody else; a command that flags are put before;
VOLUME, EXPOSE, USER, STOPSIGNAL, PATH and variables as in the Dockerfiles of postgres, redis,
nginx and mysql.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.support import machine

_SERVER = """#!/bin/bash
# Says who it is and what it was given, answers PONG, and ends as it is told.
case " $* " in *" --verbose --help "*) echo "Usage: ${0##*/} [OPTIONS]"; exit 0;; esac
for signal in INT QUIT TERM; do trap "echo got SIG$signal; kill %1; exit 0" $signal; done
echo "${0##*/} $* as $(id -u):$(id -g) in $PWD"
[ ! -f "${1:-}" ] || cat "$1"
busybox nc -ll -p 6379 -e echo PONG &
while :; do wait; done
"""

_ENTRYPOINT = """set -Eeo pipefail
# usage: file_env VAR: $VAR, or the contents of $VAR_FILE (docker's secrets), not both
file_env() {
    local var="$1" file="${1}_FILE"
    if [ "${!var:-}" ] && [ "${!file:-}" ]; then
        printf >&2 'error: both %s and %s are set (but are exclusive)\\n' "$var" "$file"; exit 1
    fi
    [ -z "${!file:-}" ] || export "$var"="$(< "${!file}")"
    unset "$file"
}
if [ "${1:0:1}" = - ]; then set -- "$server" "$@"; fi
case " $* " in *" --help "*) exec "$@" ;; esac
if [ "$1" = "$server" ]; then
    if [ "$(id -u)" = 0 ]; then
        mkdir -p "$data"; chmod 700 "$data"
        find "$data" \\! -user "$user" -exec chown "$user" '{}' +
        exec "${drop[@]}" "$BASH_SOURCE" "$@"
    fi
    if [ "$secret" ] && [ ! -s "$data/VERSION" ]; then
        file_env "$secret"
        if [ -z "${!secret:-}" ]; then
            echo >&2 'Error: Database is uninitialized and superuser password is not specified.'
            exit 1
        fi
        printf %s "${!secret}" >"$data/password"
        for f in /docker-entrypoint-initdb.d/*; do
            case "$f" in
                *.sh) echo "running $f"; if [ -x "$f" ]; then "$f"; else . "$f"; fi ;;
                *.sql) echo "running $f"; cat "$f" >>"$data/tables" ;;
            esac
        done
        echo 15 >"$data/VERSION"
    fi
fi
exec "$@"
"""

_POSTGRES = """FROM debian:bookworm
RUN set -eux; groupadd -r postgres --gid=999; \\
    useradd -r -g postgres --uid=999 --home-dir=/var/lib/postgresql --shell=/bin/bash postgres; \\
    install --verbose --directory --owner postgres --group postgres --mode 1777 /var/lib/postgresql
RUN mkdir /docker-entrypoint-initdb.d
ENV LANG=en_US.utf8 PG_MAJOR=15
ENV PATH=$PATH:/usr/lib/postgresql/$PG_MAJOR/bin
COPY server /usr/lib/postgresql/15/bin/postgres
COPY --chmod=755 <<'END' /usr/local/bin/psql
#!/bin/sh
echo "psql $*"; busybox nslookup "$2" | tail -n +3 | grep -q Address && echo found "$2"
END
RUN install --verbose --directory --owner postgres --group postgres --mode 3777 /var/run/postgresql
ENV PGDATA=/var/lib/postgresql/data
RUN install --verbose --directory --owner postgres --group postgres --mode 1777 "$PGDATA"
VOLUME /var/lib/postgresql/data
COPY entrypoint /usr/local/bin/docker-entrypoint.sh
ENTRYPOINT ["docker-entrypoint.sh"]
STOPSIGNAL SIGINT
EXPOSE 5432
CMD ["postgres"]
"""

_REDIS = """FROM debian:bookworm
RUN groupadd -r -g 999 redis && useradd -r -g redis -u 999 redis
COPY server /usr/local/bin/redis-server
COPY --chmod=755 <<'END' /usr/local/bin/redis-cli
#!/bin/sh
echo PING | busybox nc -w 5 "$2" 6379
END
RUN mkdir /data && chown redis:redis /data
VOLUME /data
WORKDIR /data
COPY entrypoint /usr/local/bin/docker-entrypoint.sh
ENTRYPOINT ["docker-entrypoint.sh"]
EXPOSE 6379
CMD ["redis-server"]
"""

_NGINX = """FROM debian:bookworm
ENV NGINX_VERSION=1.27.0
RUN set -x && groupadd --system --gid 101 nginx && useradd --system --gid nginx --no-create-home \\
    --home /nonexistent --shell /bin/false --uid 101 nginx && mkdir -p /usr/share/nginx/html \\
    /docker-entrypoint.d /etc/nginx /var/cache/nginx /var/log/nginx \\
    && ln -sf /dev/stdout /var/log/nginx/access.log && ln -sf /dev/stderr /var/log/nginx/error.log
COPY --chmod=755 <<'END' /usr/sbin/nginx
#!/bin/bash
echo "$(basename "$0") $*"
echo started >>/var/log/nginx/access.log; echo warned >>/var/log/nginx/error.log
mkdir -p /var/cache/nginx/client_temp; echo $$ >/var/run/nginx.pid
trap 'echo got SIGQUIT; kill $!; exit 0' QUIT
busybox httpd -f -p "${NGINX_PORT:-80}" -h /usr/share/nginx/html & wait
END
RUN ln -s nginx /usr/sbin/nginx-debug \\
    && echo 'the default page' >/usr/share/nginx/html/index.html \\
    && echo 'events {}' >/etc/nginx/nginx.conf
COPY --chmod=755 <<'END' /docker-entrypoint.sh
#!/bin/sh
set -e
[ -n "${NGINX_ENTRYPOINT_QUIET_LOGS:-}" ] || echo "$0: Configuration complete; ready for start up"
exec "$@"
END
ENTRYPOINT ["/docker-entrypoint.sh"]
EXPOSE 80
STOPSIGNAL SIGQUIT
CMD ["nginx", "-g", "daemon off;"]
"""

_MYSQL = """FROM debian:bookworm
RUN set -eux; groupadd --system --gid 999 mysql; \\
    useradd --system --uid 999 --gid 999 --home-dir /var/lib/mysql --no-create-home mysql
COPY server /usr/sbin/mysqld
COPY --chmod=755 <<'END' /usr/bin/mysql
#!/bin/sh
echo "mysql $*"; exec cat
END
RUN ln -s mysql /usr/bin/mysqldump && mkdir -p /var/lib/mysql /docker-entrypoint-initdb.d \\
    && chown mysql:mysql /var/lib/mysql
VOLUME /var/lib/mysql
COPY entrypoint /usr/local/bin/docker-entrypoint.sh
RUN ln -s usr/local/bin/docker-entrypoint.sh /entrypoint.sh
ENTRYPOINT ["docker-entrypoint.sh"]
EXPOSE 3306 33060
CMD ["mysqld"]
"""

_SETPRIV, _SU = (
    "(setpriv --reuid $user --regid $user --init-groups)",
    """(su $user -s /bin/bash -c 'exec "$0" "$@"' --)""",
)
# name → its Dockerfile, and what its entrypoint knows: server, user, data, secret, how it drops
_KINDS = {
    "postgres": (_POSTGRES, "postgres", "postgres", "$PGDATA", "POSTGRES_PASSWORD", _SETPRIV),
    "redis": (_REDIS, "redis-server", "redis", "/data", "", _SETPRIV),
    "nginx": (_NGINX, "nginx", "nginx", "/var/cache/nginx", "", _SU),
    "mysql": (_MYSQL, "mysqld", "mysql", "/var/lib/mysql", "MYSQL_ROOT_PASSWORD", _SU),
}


def contexts(folder: Path) -> list[tuple[str, Path]]:
    """(name, build context) of each image; they are FROM debian:bookworm."""
    busybox = machine.static_busybox()
    assert busybox
    found = []
    for name, (text, *known) in _KINDS.items():
        context = folder / name
        context.mkdir(parents=True)
        shutil.copyfile(busybox, context / "busybox")
        copied = "COPY --chmod=755 busybox /usr/local/bin/\nRUN "
        (context / "Dockerfile").write_text(text.replace("RUN ", copied, 1))
        names = ("server", "user", "data", "secret", "drop")
        head = "".join(f"{key}={value}\n" for key, value in zip(names, known, strict=True))
        entrypoint = f"#!/usr/bin/env bash\n{head}{_ENTRYPOINT}"
        for file, content in (("server", _SERVER), ("entrypoint", entrypoint)):
            (context / file).write_text(content)
            (context / file).chmod(0o755)
        found.append((name, context))
    return found
