from __future__ import annotations

import pytest

from rootless.registry.errors import RegistryError
from rootless.registry.http import Access, Patience, Transport, proxy_for
from rootless.registry.trust import parse

PROXIES = {"http": "http://p:1", "https": "http://p:2"}
SOON = Transport(
    parse("https://x.test"), Access(patience=Patience(attempts=3, backoff=0.001, longest_wait=1))
)


@pytest.mark.parametrize(
    ("url", "no_proxy", "proxy"),
    [
        ("http://a.example/", "", "http://p:1"),
        ("https://a.example/", "", "http://p:2"),
        ("https://a.example/", "a.example", ""),
        ("https://a.example/", " .example , x", ""),
        ("https://a.example/", "*.example", ""),
        ("https://a.example/", "ple", "http://p:2"),
        ("https://a.example/", "*", ""),
        ("https://a.example:5000/", "a.example:5000", ""),
        ("https://a.example/", "a.example:5000", "http://p:2"),
        ("https://10.1.2.3/", "10.0.0.0/8", ""),
        ("https://11.1.2.3/", "10.0.0.0/8", "http://p:2"),
        ("https://[fd00::1]/", "fd00::/8", ""),
        ("http://127.0.0.1:5000/", "", ""),
        ("http://localhost:5000/", "", ""),
    ],
)
def test_proxy_choice(url, no_proxy, proxy):
    assert proxy_for(parse(url), {**PROXIES, "no": no_proxy}) == proxy


def failing(*errors):
    left = list(errors)

    def attempt():
        if left:
            raise left.pop(0)
        return "done"

    return attempt


def test_temporary_failures_are_tried_again():
    broken = RegistryError("broken", temporary=True)
    assert SOON.persist(failing(broken, broken)) == "done"


def test_the_last_failure_is_told():
    broken = [RegistryError(f"broken {n}", temporary=True) for n in range(3)]
    with pytest.raises(RegistryError, match="broken 2"):
        SOON.persist(failing(*broken))


def test_lasting_failures_and_long_waits_are_told_at_once():
    for error in (
        RegistryError("no"),
        RegistryError("no", temporary=True, retry_after=3600),
    ):
        with pytest.raises(RegistryError, match="no"):
            SOON.persist(failing(error))
