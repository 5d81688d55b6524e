"""What a join looks up: in any order, in bounded memory, each once."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asyncwds.errors import SampleError
from asyncwds.tools import Lookup


def lookup(pairs, memory=1 << 20):
    return Lookup(pairs, memory, len)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.text(min_size=1, max_size=4), unique=True, max_size=30), st.integers(0, 100), st.randoms(use_true_random=False))
def test_each_key_has_its_value(keys, memory, rng):
    values = {key: key.encode("utf-8", "surrogatepass") * 3 for key in keys}
    order = list(keys)
    rng.shuffle(order)
    with lookup(values.items(), memory) as found:
        assert {key: found.take(key) for key in order} == values
        assert found.take("none of them!") is None
        assert found.count_left() == 0


def test_the_same_order_on_both_sides_waits_for_nothing():
    read = []

    def source():
        for n in range(100):
            read.append(n)
            yield f"{n:03}", bytes(10)

    with lookup(source()) as found:
        for n in range(0, 100, 3):
            assert found.take(f"{n:03}") == bytes(10)
            assert len(read) == n + 1


def test_what_is_over():
    keys = [f"{n}" for n in range(100)]
    random.Random(0).shuffle(keys)
    with lookup([(key, b"x" * 50) for key in keys], memory=1000) as found:
        assert all(found.take(key) for key in sorted(keys)[:40])
        assert found.count_left() == 60


def test_a_key_that_comes_twice():
    with (
        lookup([("a", b"1"), ("a", b"2"), ("b", b"3")]) as found,
        pytest.raises(SampleError, match="twice on the right side.*key=a"),
    ):
        found.take("b")
    with lookup([("a", b"1")]) as found:
        assert found.take("a") == b"1"
        with pytest.raises(SampleError, match="twice on the left side.*key=a"):
            found.take("a")


def test_names_in_other_encodings(tmp_path):
    key = b"caf\xe9".decode("utf-8", "surrogateescape")
    with lookup([(key, b"1"), ("z", b"2")], memory=0) as found:
        assert found.take("z") == b"2"
        assert found.take(key) == b"1"
