"""When a part gets help, fed with made-up times."""

from asyncwds.engine.parts import Part, ShardRun
from asyncwds.engine.stragglers import Action, LatePart, LateParts
from asyncwds.shards import Shard


def part(**values) -> Part:
    return Part(ShardRun(Shard("s", 0), 0), **{"start": 0, "stop": 1000, "reserved": 1000, "answered": True, **values})


def test_a_part_that_brings_nothing_is_started_anew_with_more_patience_each_time():
    watch, late, asked = LatePart(), part(), []
    for tenth in range(60):
        if watch.look(late, tenth / 10) is Action.RESTART:
            asked.append(tenth / 10)
    assert asked == [0.5, 1.5, 3.5]


def test_the_rest_of_a_part_that_was_started_anew_is_given_more_time_and_others_are_not():
    first, rest, other = part(received=300), part(start=300), part(start=900)
    for late, asked in ((rest, Action.NONE), (other, Action.RESTART)):
        watch = LatePart()
        assert [watch.look(first, now) for now in (0.0, 0.5)] == [Action.NONE, Action.RESTART]
        assert [watch.look(late, now) for now in (0.6, 1.2)] == [Action.NONE, asked]


def test_the_parts_that_are_looked_at_are_those_the_reader_waits_for():
    runs = [ShardRun(Shard("s", number), number) for number in range(3)]
    for run in runs[:2]:
        run.parts.append(Part(run, 0, 1000, 1000, answered=True))
    for awaited, looked_at in ((None, runs[:2]), (runs[1], runs[1:2]), (runs[2], [])):
        late = LateParts()
        late.decide(runs, awaited, 0.0)
        assert late.decide(runs, awaited, 1.0) == [(run.parts[0], Action.RESTART) for run in looked_at]


def test_a_part_that_is_slow_is_split_every_half_second():
    watch, slow, asked = LatePart(), part(), []
    for tenth in range(13):
        slow.received += 1
        if watch.look(slow, tenth / 10) is Action.SPLIT:
            asked.append(tenth / 10)
    assert asked == [0.5, 1.0]


def test_a_part_without_an_answer_is_left_to_the_storage():
    watch = LatePart()
    assert {watch.look(part(answered=False), second) for second in range(30)} == {Action.NONE}


def test_another_part_is_looked_at_afresh():
    watch = LatePart()
    for number in range(20):
        one = part()
        assert watch.look(one, number) is Action.NONE
        assert watch.look(one, number + 0.4) is Action.NONE
