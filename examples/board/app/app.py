"""Notes in PostgreSQL: GET / shows them and counts readers in redis, POST / keeps another one."""

import os
from collections.abc import Callable, Iterable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import psycopg2
import redis

CACHE = redis.Redis(os.environ["CACHE"], socket_timeout=3, socket_connect_timeout=3)


def asked(statement: str, *values: str) -> list[tuple[str, ...]]:
    """The rows that a statement gives; it is carried out or not at all."""
    with psycopg2.connect(os.environ["DB"]) as connection, connection.cursor() as cursor:
        cursor.execute(statement, values)
        return cursor.fetchall()


class Board(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.answer(
            lambda: [
                f"read {CACHE.incr('readers')} times",
                *(text for (text,) in asked("SELECT text FROM notes ORDER BY id")),
            ]
        )

    def do_POST(self) -> None:
        text = self.rfile.read(int(self.headers["Content-Length"])).decode()
        self.answer(
            lambda: [
                f"note {number}"
                for (number,) in asked("INSERT INTO notes (text) VALUES (%s) RETURNING id", text)
            ]
        )

    def answer(self, lines: Callable[[], Iterable[str]]) -> None:
        try:
            code, text = 200, "".join(f"{line}\n" for line in lines())
        except (psycopg2.Error, redis.RedisError) as error:
            code, text = 503, f"{error}\n"
        self.send_response(code)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.end_headers()
        self.wfile.write(text.encode())


print("listening on port 8000")
ThreadingHTTPServer(("", 8000), Board).serve_forever()
