from __future__ import annotations

import pickle

import pytest

from rootless.record import Record


class Point(Record):
    x: int
    y: int = 0
    names: tuple[str, ...] = ()


class Named(Point):
    name: str = "p"
    x: int = 7


class Other(Record):
    x: int
    y: int = 0
    names: tuple[str, ...] = ()


def test_construction_by_place_and_by_name():
    assert Point(1, 2) == Point(x=1, y=2) == Point(1, y=2)
    point = Point(1)
    assert (point.x, point.y, point.names) == (1, 0, ())


@pytest.mark.parametrize(
    ("args", "kwargs", "why"),
    [
        ((), {}, "missing x"),
        ((), {"y": 1}, "missing x"),
        ((1, 2, (), 4), {}, "too many"),
        ((1,), {"x": 1}, "too many"),
        ((1,), {"z": 1}, "unknown z"),
        ((1, 2, ()), {"z": 1}, "unknown z"),
    ],
)
def test_wrong_construction(args, kwargs, why):
    with pytest.raises(TypeError, match=why):
        Point(*args, **kwargs)


def test_it_is_frozen():
    point = Point(1)
    with pytest.raises(AttributeError, match=r"Point\.x is read-only"):
        point.x = 2
    with pytest.raises(AttributeError):
        point.z = 2
    assert point == Point(1)


def test_equality_is_of_one_class():
    assert Point(1) != Point(2)
    assert Point(1) != Other(1)
    assert Point(1) != (1, 0, ())
    assert len({Point(1), Point(1, 0), Point(2)}) == 2


def test_a_default_and_the_same_value_given_are_equal():
    """Also in subclasses, after `replace`, and when they have been elsewhere as bytes."""
    assert Named(y=1) == Named(y=1, x=7, name="p", names=())
    assert hash(Named(y=1)) == hash(Named(y=1, x=7))
    assert Named(y=1, x=8).replace(x=7) == Named(y=1)
    assert pickle.loads(pickle.dumps(Named(y=1))) == Named(x=7, y=1)


def test_replace_makes_another():
    point = Point(1, 2)
    assert point.replace(y=3) == Point(1, 3)
    assert point == Point(1, 2)
    with pytest.raises(TypeError, match="unknown z"):
        point.replace(z=1)


def test_subclasses_add_fields_and_defaults():
    assert Named._fields == ("y", "names", "name", "x")
    named = Named(y=1)
    assert (named.x, named.name) == (7, "p")
    assert repr(named) == "Named(y=1, names=(), name='p', x=7)"


def test_it_pickles():
    assert pickle.loads(pickle.dumps(Point(1, 2))) == Point(1, 2)
