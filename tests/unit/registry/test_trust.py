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
        trust.resolve("192.0.2.1", trust.parse(target).host)


def test_not_even_a_registry_on_loopback_leads_to_the_metadata_service():
    with pytest.raises(RegistryError, match="refused"):
        trust.resolve("127.0.0.1", "169.254.169.254")


def test_loopback_may_lead_to_loopback_and_a_registry_to_itself():
    assert trust.resolve("127.0.0.1", "127.0.0.2") == ["127.0.0.2"]
    assert trust.resolve("[::1]", "127.0.0.2") == ["127.0.0.2"]
    assert trust.resolve("169.254.7.7", "169.254.7.7") == ["169.254.7.7"]
    assert trust.resolve("192.0.2.1", "10.1.2.3") == ["10.1.2.3"]


def test_a_name_with_one_bad_address_is_refused(monkeypatch):
    found = [(2, 1, 6, "", (address, 0)) for address in ("192.0.2.7", "127.0.0.1")]
    monkeypatch.setattr("socket.getaddrinfo", lambda *_, **__: found)
    with pytest.raises(RegistryError, match=r"leads to 127\.0\.0\.1"):
        trust.resolve("registry.example", "cdn.example")
    assert trust.resolve("registry.example", "registry.example.") == ["192.0.2.7", "127.0.0.1"]


def test_https_does_not_lead_to_http():
    with pytest.raises(RegistryError, match="plain http"):
        trust.check_hop(PUBLIC, trust.parse("http://192.0.2.1/blob"))
    trust.check_hop(LOOPBACK, trust.parse("https://127.0.0.1:5000/blob"))


@pytest.mark.parametrize(
    ("other", "same"),
    [
        ("https://192.0.2.1:443/x?y", True),
        ("http://192.0.2.1/v2/", False),
        ("https://192.0.2.1:444/v2/", False),
        ("https://192.0.2.2/v2/", False),
    ],
)
def test_an_origin_is_scheme_host_and_port(other, same):
    assert (trust.origin(trust.parse(other)) == trust.origin(PUBLIC)) is same


@pytest.mark.parametrize("realm", ["http://127.0.0.2:5000/", "http://127.0.0.1:5001/token"])
def test_passwords_go_to_the_registry_or_over_tls(realm):
    trust.check_password(LOOPBACK, trust.parse("http://127.0.0.1:5000/token"))
    trust.check_password(PUBLIC, trust.parse("https://auth.example/token"))
    with pytest.raises(RegistryError, match="without encryption"):
        trust.check_password(LOOPBACK, trust.parse(realm))


def test_shown_urls_hold_no_query():
    url = trust.parse("https://a.example:1/b?X-Amz-Signature=secret#fragment")
    assert trust.redacted(url) == "https://a.example:1/b"


@pytest.mark.parametrize("char", "$`;&|<>(){}'\"!*~^% ")
def test_a_host_has_no_characters_of_a_shell(char):
    with pytest.raises(RegistryError):
        trust.parse(f"https://a{char}b.example/v2/")
    with pytest.raises(RegistryError):
        trust.parse(f"//a{char}b.example/v2/", "https://registry.example/v2/")


@pytest.mark.parametrize(
    "host", ["localhost", "a_b-c.Example.", "192.0.2.1", "[2001:db8::1]", "2130706433", "xn--bcher"]
)
def test_hosts_of_all_forms(host):
    assert trust.parse(f"https://{host}:5000/v2/").host == host.lower()
