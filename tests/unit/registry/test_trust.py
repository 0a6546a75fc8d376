from __future__ import annotations

import pytest

from rootless.registry import trust
from rootless.registry.errors import RegistryError

PUBLIC = trust.parse("https://192.0.2.1/v2/")
LOOPBACK = trust.parse("http://127.0.0.1:5000/v2/")


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.1", "::1", "[::1]", "localhost"])
def test_loopback_hosts(host):
    assert trust.is_loopback(host)


@pytest.mark.parametrize("host", ["example.com", "128.0.0.1", "localhost.example.com", "::2", ""])
def test_other_hosts(host):
    assert not trust.is_loopback(host)


@pytest.mark.parametrize(
    "text",
    ["file:///etc/passwd", "ftp://a/b", "gopher://a", "http:///x", "http://user:pw@a/", "//["],
)
def test_urls_nobody_follows(text):
    with pytest.raises(RegistryError):
        trust.parse(text, "https://registry.example/v2/")


def test_relative_urls_stay_on_the_host():
    assert trust.parse("/x?y=1", "https://a:444/v2/b").url == "https://a:444/x?y=1"


@pytest.mark.parametrize(
    "target",
    [
        "https://169.254.169.254/latest/meta-data",
        "https://[fe80::1]/",
        "https://[::ffff:169.254.169.254]/",
        "https://100.100.100.200/",
        "https://127.0.0.1/",
        "https://127.1/",
        "https://2130706433/",
        "https://0x7f000001/",
        "https://0.0.0.0/",
        "https://[::1]/",
        "https://localhost/",
    ],
)
def test_a_public_registry_cannot_lead_to_this_machine(target):
    with pytest.raises(RegistryError, match="refused"):
        trust.check_hop(PUBLIC, PUBLIC, trust.parse(target))


def test_not_even_a_registry_on_loopback_leads_to_the_metadata_service():
    with pytest.raises(RegistryError, match="refused"):
        trust.check_hop(LOOPBACK, LOOPBACK, trust.parse("http://169.254.169.254/"))


def test_loopback_may_lead_to_loopback_and_a_registry_to_itself():
    trust.check_hop(LOOPBACK, LOOPBACK, trust.parse("http://127.0.0.2:1/"))
    own = trust.parse("http://169.254.7.7/v2/")
    trust.check_hop(own, own, trust.parse("http://169.254.7.7/x"))


def test_https_does_not_lead_to_http():
    with pytest.raises(RegistryError, match="plain http"):
        trust.check_hop(PUBLIC, PUBLIC, trust.parse("http://192.0.2.1/blob"))


def test_passwords_go_to_the_registry_or_over_tls():
    trust.check_password(LOOPBACK, trust.parse("http://127.0.0.1:5001/token"))
    trust.check_password(PUBLIC, trust.parse("https://auth.example/token"))
    with pytest.raises(RegistryError, match="without encryption"):
        trust.check_password(LOOPBACK, trust.parse("http://127.0.0.2/token"))


def test_shown_urls_hold_no_query():
    url = trust.parse("https://a.example:1/b?X-Amz-Signature=secret#fragment")
    assert trust.redacted(url) == "https://a.example:1/b"
