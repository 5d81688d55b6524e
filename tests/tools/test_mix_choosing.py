"""Which source the next sample of a mix is from."""

import pytest

from asyncwds.errors import SpecError
from asyncwds.tools import Mixture


def mixture(counts, weights, stop="all", seed=0):
    def opens(n, count):
        return lambda _: (item for item in [(n, k) for k in range(count)])

    return Mixture([opens(n, count) for n, count in enumerate(counts)], weights, stop, seed)


def test_all_of_all_sources():
    mix = mixture([5, 50, 500], [1, 1, 1])
    items = list(mix)
    assert sorted(items) == [(n, k) for n, count in enumerate([5, 50, 500]) for k in range(count)]
    assert [[k for n, k in items if n == number] for number in range(3)] == [list(range(count)) for count in (5, 50, 500)]
    assert mix.given == [5, 50, 500]


def test_shares_are_as_the_weights():
    mix = mixture([4000, 4000], [3, 1], "first")
    items = list(mix)
    assert max(mix.given) == 4000
    assert 0.70 < sum(n == 0 for n, _ in items) / len(items) < 0.80


def test_shorter_ones_begin_anew_until_the_longest_has_ended():
    items = list(mixture([3, 20], [1, 1], "longest"))
    assert [k for n, k in items if n == 1][:20] == list(range(20))
    assert [k for n, k in items if n == 0] == [k % 3 for k in range(len([n for n, _ in items if n == 0]))]
    assert {k for n, k in items if n == 1} == set(range(20))


def test_the_seed_decides():
    assert list(mixture([9, 9], [1, 1], seed=1)) == list(mixture([9, 9], [1, 1], seed=1)) != list(mixture([9, 9], [1, 1], seed=2))


@pytest.mark.parametrize(("weights", "stop"), [([1], "all"), ([1, 0], "all"), ([1, float("nan")], "all"), ([1, 1], "some")])
def test_what_makes_no_sense(weights, stop):
    with pytest.raises(SpecError):
        mixture([1, 1], weights, stop)


def test_a_source_without_samples_is_no_endless_loop():
    assert list(mixture([0, 2], [1, 1])) == [(1, 0), (1, 1)]
    with pytest.raises(SpecError, match="source 0 of the mix has no samples"):
        list(mixture([0, 200], [1, 1], "longest"))
