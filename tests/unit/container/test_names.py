"""Names for containers whose user gave none."""

from __future__ import annotations

from itertools import islice

from rootless.container import names


def test_there_are_more_names_than_pairs_of_words():
    first, *_ = some = list(islice(names.random_names(), 5000))
    assert "_" in first
    assert first.replace("_", "").isalpha()
    assert len(set(some)) > 4500
    assert all(name[0].isalpha() and name.replace("_", "").isalnum() for name in some)
