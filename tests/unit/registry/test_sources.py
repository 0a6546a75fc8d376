"""registries.conf, as containers-registries.conf(5) has it."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rootless.errors import RootlessError
from rootless.oci.reference import Reference
from rootless.registry import sources
from rootless.registry.errors import RegistryError


@pytest.fixture
def rules(tmp_path):
    """rules(TOML, name=TOML for a file in the folder): what they say together."""

    def load(text, **more):
        path = tmp_path / "registries.conf"
        path.write_text(text)
        folder = tmp_path / "registries.conf.d"
        folder.mkdir(exist_ok=True)
        for name, other in more.items():
            (folder / f"{name}.conf").write_text(other)
        return sources.load([str(tmp_path / "none"), str(path)], [str(folder), "/nonexistent"])

    return load


def asked(rules, text):
    """HOST/REPOSITORY of every place, in order."""
    reference = Reference.parse(text)
    name = f"{reference.registry}/{reference.repository}"
    return [f"{one.registry}/{one.repository(name)}" for one in rules.places(reference)]


def test_nothing_is_said(tmp_path):
    rules = sources.load([str(tmp_path / "none")], [str(tmp_path)])
    assert asked(rules, "busybox") == ["docker.io/library/busybox"]
    assert asked(rules, "r.example:5000/a/b") == ["r.example:5000/a/b"]
    assert not rules.is_insecure("r.example")


def test_mirrors_come_first_and_in_their_order(rules):
    found = rules(
        """
        [[registry]]
        location = "docker.io"
        [[registry.mirror]]
        location = "one.example:5000"
        insecure = true
        [[registry.mirror]]
        location = "two.example/hub/"
        """
    )
    places = found.places(Reference.parse("busybox"))
    assert [(one.registry, one.insecure) for one in places] == [
        ("one.example:5000", True),
        ("two.example", False),
        ("docker.io", False),
    ]
    assert asked(found, "busybox") == [
        "one.example:5000/library/busybox",
        "two.example/hub/library/busybox",
        "docker.io/library/busybox",
    ]
    assert asked(found, "r.example/x") == ["r.example/x"]


@pytest.mark.parametrize(
    ("prefix", "location", "name", "expected"),
    [
        ("example.com/foo", "inside.example/bar", "example.com/foo/x", "inside.example/bar/x"),
        ("example.com/foo", "inside.example/bar", "example.com/foo", "inside.example/bar"),
        ("example.com/foo", "inside.example/bar", "example.com/food/x", "example.com/food/x"),
        ("example.com", "inside.example", "example.com:5000/x", "example.com:5000/x"),
        ("example.com:5000", "inside.example", "example.com:5000/x", "inside.example/x"),
        ("docker.io/library", "m.example/lib", "busybox", "m.example/lib/busybox"),
        ("index.docker.io", "m", "busybox", "m/library/busybox"),
        ("example.com", "docker.io", "example.com/busybox", "docker.io/library/busybox"),
        ("*.example.com", "inside.example/all", "a.b.example.com/x", "inside.example/all/x"),
        ("*.example.com", "", "a.example.com/x", "a.example.com/x"),
        ("*.example.com", "inside.example", "example.com/x", "example.com/x"),
        ("*.example.com", "inside.example", "badexample.com/x", "badexample.com/x"),
    ],
)
def test_other_places(rules, prefix, location, name, expected):
    text = f'[[registry]]\nprefix = "{prefix}"\nlocation = "{location}"\n'
    assert asked(rules(text), name) == [expected]


def test_the_longest_prefix_counts(rules):
    text = "".join(
        f'[[registry]]\nprefix = "{prefix}"\nlocation = "{n}.example"\n'
        for n, prefix in enumerate(["*.example.com", "a.example.com", "a.example.com/team"])
    )
    found = rules(text)
    assert asked(found, "a.example.com/team/x") == ["2.example/x"]
    assert asked(found, "a.example.com/x") == ["1.example/x"]
    assert asked(found, "b.example.com/x") == ["0.example/x"]


def test_a_blocked_registry_is_not_asked(rules):
    found = rules('[[registry]]\nlocation = "bad.example/team"\nblocked = true\n')
    with pytest.raises(RegistryError, match=r"bad\.example/team is blocked in .*registries\.conf"):
        found.places(Reference.parse("bad.example/team/x"))
    with pytest.raises(RegistryError, match="blocked"):
        found.destination(Reference.parse("bad.example/team/x"))
    assert asked(found, "bad.example/teams/x") == ["bad.example/teams/x"]


def test_what_is_sent_goes_to_no_mirror(rules):
    found = rules(
        """
        [[registry]]
        prefix = "r.example"
        location = "inside.example"
        insecure = true
        [[registry.mirror]]
        location = "m.example"
        """
    )
    place = found.destination(Reference.parse("r.example/x"))
    assert (place.registry, place.repository("r.example/x")) == ("r.example", "x")
    assert place.insecure
    assert found.is_insecure("r.example")


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("pull-from-mirror", '"all"', (True, True)),
        ("pull-from-mirror", '"digest-only"', (False, True)),
        ("pull-from-mirror", '"tag-only"', (True, False)),
    ],
)
def test_what_a_mirror_is_asked_for(rules, key, value, expected):
    text = '[[registry]]\nlocation = "r.example"\n[[registry.mirror]]\nlocation = "m.example"\n'
    mirror, own = rules(text + f"{key} = {value}\n").places(Reference.parse("r.example/x"))
    assert (mirror.tags, mirror.digests) == expected
    assert (own.tags, own.digests) == (True, True)


def test_mirrors_for_digests_only(rules):
    mirror, _ = rules(
        """
        [[registry]]
        location = "r.example"
        mirror-by-digest-only = true
        [[registry.mirror]]
        location = "m.example"
        """
    ).places(Reference.parse("r.example/x"))
    assert (mirror.tags, mirror.digests) == (False, True)


def test_a_later_file_replaces_what_an_earlier_one_says_of_a_prefix(rules):
    text = '[[registry]]\nprefix = "r.example"\nlocation = "{}.example"\n'
    found = rules(text.format("first"), b=text.format("last"), a=text.format("middle"))
    assert asked(found, "r.example/x") == ["last.example/x"]


def test_only_the_first_file_counts(tmp_path, rules):
    rules('[[registry]]\nprefix = "r.example"\nlocation = "other.example"\n')
    (tmp_path / "own").write_text("")
    found = sources.load([str(tmp_path / "own"), str(tmp_path / "registries.conf")], [])
    assert asked(found, "r.example/x") == ["r.example/x"]


def test_short_names_are_the_hubs_but_for_the_users_aliases(rules):
    found = rules(
        """
        unqualified-search-registries = ["quay.example"]
        [aliases]
        fedora = "registry.fedora.example/fedora"
        "team/app" = "r.example/team/app"
        gone = "r.example/gone"
        [[registry]]
        location = "r.example"
        [[registry.mirror]]
        location = "m.example"
        """,
        later='[aliases]\ngone = ""\n',
    )
    assert asked(found, "busybox") == ["docker.io/library/busybox"]
    assert asked(found, "fedora:40") == ["registry.fedora.example/fedora"]
    assert asked(found, "team/app") == ["m.example/team/app", "r.example/team/app"]
    assert asked(found, "gone") == ["docker.io/library/gone"]
    place = found.destination(Reference.parse("fedora"))
    assert place.registry == "docker.io"


def test_the_distributions_aliases_do_not_count(monkeypatch, tmp_path):
    monkeypatch.setattr(sources, "_SYSTEM", f"{tmp_path}/etc/")
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "shortnames.conf").write_text(
        '[aliases]\ncentos = "quay.io/centos/centos"\n'
    )
    found = sources.load([], [str(tmp_path / "etc")])
    assert asked(found, "centos:7") == ["docker.io/library/centos"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[[registry", "cannot be used"),
        ("registry = 3", "write \\[\\[registry\\]\\]"),
        ("[[registry]]", "neither a prefix nor a location"),
        ("[[registry]]\nlocation = 3", "location is not a text"),
        ('[[registry]]\nlocation = "https://r.example"', "is not a registry"),
        ('[[registry]]\nlocation = "r.example/UPPER"', "is not a registry"),
        ('[[registry]]\nlocation = "*.r.example"', "is not a registry"),
        ('[[registry]]\nlocation = "r"\nblocked = "yes"', "neither true nor false"),
        ('[[registry]]\nlocation = "r"\n[[registry.mirror]]\ninsecure = true', "no location"),
        (
            '[[registry]]\nlocation = "r"\n[[registry.mirror]]\nlocation = "m"\n'
            'pull-from-mirror = "never"',
            "all, digest-only or tag-only",
        ),
        ("aliases = 3", "aliases is not a table"),
        ('[aliases]\nx = ["y"]', "the alias x is not a name"),
        ('[aliases]\nx = "A B"', "is not an image reference"),
        ('[registries.search]\nregistries = ["docker.io"]', "version 1"),
        ("\xff\0", "cannot be used"),
    ],
)
def test_damaged_files_are_named(rules, text, words):
    with pytest.raises(RegistryError, match=words) as caught:
        rules(text)
    assert "registries.conf" in caught.value.message


def test_a_place_without_a_name_is_refused(rules):
    found = rules('[[registry]]\nprefix = "r.example/x"\nlocation = "m.example"\n')
    with pytest.raises(RegistryError, match=r"m\.example says not what r\.example/x"):
        found.places(Reference.parse("r.example/x"))


@pytest.mark.parametrize("kind", ["pipe", "directory"])
def test_what_is_no_file_is_a_sentence(tmp_path, kind):
    path = tmp_path / "registries.conf"
    (os.mkfifo if kind == "pipe" else os.mkdir)(path)
    with pytest.raises(RegistryError, match=r"registries\.conf cannot be used"):
        sources.load([str(path)], [])


NAMES = st.sampled_from(["docker.io", "r.example", "r.example/x", "*.example", "m:5000/a", "b", ""])
ENTRY = st.fixed_dictionaries(
    {},
    optional={
        "prefix": NAMES,
        "location": NAMES | st.integers(),
        "insecure": st.booleans(),
        "blocked": st.booleans(),
        "mirror": st.lists(st.fixed_dictionaries({}, optional={"location": NAMES}), max_size=2),
    },
)


@given(
    st.lists(ENTRY, max_size=3), st.sampled_from(["x", "r.example/x", "r.example/x/y", "m:5000/a"])
)
def test_any_rules_give_places_or_a_sentence(tmp_path_factory, entries, name):
    path = tmp_path_factory.getbasetemp() / "any.conf"
    path.write_text("\n".join(map(_toml, entries)))
    try:
        places = sources.load([str(path)], []).places(Reference.parse(name))
    except RootlessError:
        return
    reference = Reference.parse(name)
    for place in places:
        called = place.repository(f"{reference.registry}/{reference.repository}")
        assert Reference.parse(f"localhost/{called}").repository == called


def _toml(entry):
    import json

    lines = ["[[registry]]"]
    lines += [f"{key} = {json.dumps(value)}" for key, value in entry.items() if key != "mirror"]
    for mirror in entry.get("mirror", []):
        lines += ["[[registry.mirror]]"]
        lines += [f"{key} = {json.dumps(value)}" for key, value in mirror.items()]
    return "\n".join(lines)
