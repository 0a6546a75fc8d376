"""A page that a container shows, asked as a browser does, until it is there."""

from __future__ import annotations

import time
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import TypeVar

_PATIENCE = 120
T = TypeVar("T")


def asked(port: int, path: str = "", data: bytes | None = None) -> tuple[int, str]:
    """(code, text) of a page on loopback, of a POST where there is data; 0 while nobody answers."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/{path}", data, timeout=20) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except OSError as error:
        return 0, str(error)


def until(ask: Callable[[], T], wanted: Callable[[T], object], what: str) -> T:
    """The first answer that is wanted; the test fails when it does not come."""
    deadline = time.monotonic() + _PATIENCE
    while not wanted(answer := ask()):
        assert time.monotonic() < deadline, f"{what}: {answer}"
        time.sleep(0.1)
    return answer
