"""When a part gets help, fed with made-up times."""

from asyncwds.engine.parts import Part, ShardRun
from asyncwds.engine.stragglers import Action, Watch
from asyncwds.shards.shard import Shard


def part(**values) -> Part:
    return Part(ShardRun(Shard("s", 0), 0), 0, 1000, 1000, **{"answered": True, **values})


def test_a_part_that_brings_nothing_is_started_anew_with_more_patience_each_time():
    watch, late, asked = Watch(), part(patience=0.5), []
    for tenth in range(60):
        if watch.look(late, tenth / 10) is Action.RESTART:
            asked.append(tenth / 10)
    assert asked == [0.5, 1.5, 3.5]


def test_a_part_that_is_slow_is_split_every_half_second():
    watch, slow, asked = Watch(), part(), []
    for tenth in range(13):
        slow.received += 1
        if watch.look(slow, tenth / 10) is Action.SPLIT:
            asked.append(tenth / 10)
    assert asked == [0.5, 1.0]


def test_a_part_without_an_answer_is_left_to_the_storage():
    watch = Watch()
    assert {watch.look(part(answered=False), second) for second in range(30)} == {Action.NONE}


def test_another_part_is_looked_at_afresh():
    watch = Watch()
    for number in range(20):
        one = part()
        assert watch.look(one, number) is Action.NONE
        assert watch.look(one, number + 0.4) is Action.NONE
