"""A page that counts its visitors, in redis. `app.py check` asks the page how it is."""

import os
import sys
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import redis

PORT = 8000
STORE = redis.Redis(os.environ["STORE"], socket_timeout=3, socket_connect_timeout=3)


class Page(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        try:
            if self.path == "/health":
                code, text = 200, f"store answers: {STORE.ping()}\n"
            else:
                code, text = 200, f"You are visitor number {STORE.incr('visitors')}.\n"
        except redis.RedisError as error:
            code, text = 503, f"The store does not answer: {error}\n"
        self.send_response(code)
        self.send_header("Content-Type", "text/plain")
        self.end_headers()
        self.wfile.write(text.encode())


def main() -> None:
    if sys.argv[1:] == ["check"]:
        urllib.request.urlopen(f"http://127.0.0.1:{PORT}/health", timeout=4).read()
        return
    print(f"listening on port {PORT}")
    ThreadingHTTPServer(("", PORT), Page).serve_forever()


if __name__ == "__main__":
    main()
