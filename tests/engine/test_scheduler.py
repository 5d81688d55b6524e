"""The scheduler alone, driven by a simulation that chooses what happens next. Whatever it chooses, the rules hold."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from asyncwds.engine.parts import Part, PartState, ShardRun, ShardState
from asyncwds.engine.scheduler import Scheduler
from asyncwds.errors import FetchError
from asyncwds.shards import Shard
from asyncwds.storage import Answer


class World:
    """Objects of given sizes, with or without ranges, fetched and read step by step as `choose` decides."""

    def __init__(self, objects: list[tuple[int, bool]], choose, **settings) -> None:
        self.objects = objects
        self.choose = choose
        self.scheduler = Scheduler(iter([Shard(f"s{i}", i) for i in range(len(objects))]), **settings)
        self.fixed = settings["connections"]
        self.part_bytes = settings["part_bytes"]
        self.arrival = settings.get("arrival", False)
        self.moving: dict[Part, int] = {}  # in flight → bytes sent so far; -1 before the answer
        self.opened: set[ShardRun] = set()
        self.splits = 0
        self.read: dict[int, int] = {}
        self.ended: list[int] = []

    def run(self) -> None:
        for _ in range(100_000):
            self.start()
            self.check()
            if self.scheduler.rotation.current() is None:
                break
            actions = [lambda part=part: self.advance(part) for part in self.moving if not part.full]
            actions += [lambda run=run: self.take(run) for run in self.readable()]
            assert actions, "nothing can move: deadlock"
            if self.moving:
                actions.append(self.split)
            actions[self.choose(len(actions))]()
        assert self.ended == sorted(self.ended) or self.arrival or len(self.scheduler.rotation.reading) == 0
        assert self.read == {index: size for index, (size, _) in enumerate(self.objects)}
        assert self.scheduler.budget.reserved == 0
        assert self.scheduler.budget.in_flight == 0

    def start(self) -> None:
        for part in self.scheduler.startable():
            assert part not in self.moving
            self.opened.add(part.run)
            self.moving[part] = -1
        self.scheduler.budget.paused = sum(part.full for part in self.moving)

    def check(self) -> None:
        scheduler = self.scheduler
        assert scheduler.budget.in_flight == len(self.moving) <= self.fixed
        assert scheduler.budget.held == sum(len(run.parts) for run in self.opened)
        scheduler.budget.ahead = self.choose(4)
        scheduler.budget.outside = self.choose(3) * scheduler.budget.nbytes  # samples hold more or less, whatever is reserved
        assert scheduler.budget.nbytes // 4 <= scheduler.budget.allowed <= scheduler.budget.nbytes
        assert scheduler.budget.reserved >= 0
        # Rule 3 may let one part in rotation pass the budget at a time, each as large as a part.
        most = scheduler.budget.nbytes + self.part_bytes * max(1, len(scheduler.rotation.reading))
        assert scheduler.budget.reserved <= most + self.splits * self.part_bytes

    def readable(self) -> list[ShardRun]:
        scheduler = self.scheduler
        runs = list(scheduler.rotation.reading) if self.arrival else [scheduler.rotation.current()]
        return [run for run in runs if run and (scheduler.at_end(run) or any(part.chunks for part in list(run.parts)[:1]))]

    def split(self) -> None:
        part = list(self.moving)[self.choose(len(self.moving))]
        anew = self.choose(2)
        rest = self.scheduler.restart(part) if anew else self.scheduler.split(part)
        if rest is not None:
            assert rest.start == part.stop
            self.splits += 1
            self.moving[rest] = -1
            if anew:
                del self.moving[part]
                self.scheduler.released(part)

    def advance(self, part: Part) -> None:
        size, ranged = self.objects[part.run.shard.index]
        if self.moving[part] < 0:
            total = size if ranged and size % 3 else None  # some servers with ranges don't tell the size
            self.scheduler.answered(part, Answer(part.start if ranged else 0, total, "e", ranged))
            self.moving[part] = 0
            return
        stop = size if part.stop is None else max(part.start, min(size, part.stop))
        left = stop - part.start - self.moving[part]
        if left > 0:
            count = 1 + self.choose(left)
            self.scheduler.received(part, self.chunk(part, count))
            self.moving[part] += count
            return
        self.scheduler.completed(part)
        del self.moving[part]
        self.scheduler.released(part)

    def chunk(self, part: Part, count: int) -> bytes | memoryview:
        """Some bytes of a part, in its buffer if it has one and the source likes that."""
        begin = self.moving[part]
        made = content(part.run.shard.index, part.start + begin, count)
        if part.buffer is None or part.run.state is ShardState.STREAMED or self.choose(4) == 0:
            return made
        place = memoryview(part.buffer)[begin : begin + count]
        place[:] = made
        return place

    def take(self, run: ShardRun) -> None:
        index = run.shard.index
        if self.scheduler.at_end(run):
            self.read.setdefault(index, 0)
            self.ended.append(index)
            assert self.scheduler.end(run) == []
            return
        self.scheduler.recycle(run)
        chunk = self.scheduler.take(run)
        assert chunk
        assert chunk == content(index, self.read.get(index, 0), len(chunk))
        self.read[index] = self.read.get(index, 0) + len(chunk)
        self.scheduler.rotation.next_turn()


def content(shard: int, start: int, count: int) -> bytes:
    return bytes((shard * 64 + place) % 256 for place in range(start, start + count))


objects = st.lists(st.tuples(st.integers(0, 40), st.booleans()), max_size=12)


@pytest.fixture(autouse=True)
def tiny_parts_are_split(monkeypatch) -> None:
    monkeypatch.setattr("asyncwds.engine.parts.STEP", 1)
    monkeypatch.setattr("asyncwds.engine.scheduler.LEAST_SPLIT", 2)


@pytest.mark.slow
@settings(deadline=None, max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    objects,
    st.data(),
    st.integers(1, 6),
    st.integers(1, 60),
    st.integers(1, 9),
    st.integers(1, 9),
    st.integers(1, 4),
    st.booleans(),
)
def test_every_byte_is_read_and_no_rule_is_broken(objects, data, connections, budget, part_bytes, least, interleave, arrival):
    random = data.draw(st.randoms(use_true_random=False))
    world = World(
        objects,
        random.randrange,
        connections=max(connections, interleave),
        budget=budget,
        part_bytes=part_bytes,
        least_part=min(least, part_bytes),
        interleave=interleave,
        arrival=arrival,
    )
    world.run()


def make(objects: int = 3, **settings) -> Scheduler:
    settings = {"connections": 4, "budget": 100, "part_bytes": 10, **settings}
    return Scheduler(iter([Shard(f"s{i}", i) for i in range(objects)]), **settings)


def ranges(parts: list[Part]) -> list[tuple[int, int, int | None]]:
    return [(part.run.shard.index, part.start, part.stop) for part in parts]


def test_the_first_parts_of_several_shards_start_together():
    assert ranges(make().startable()) == [(0, 0, 10), (1, 0, 10), (2, 0, 10)]


def test_a_single_connection_reads_parts_that_grow_with_what_came_before_them():
    scheduler = make(1, connections=1, budget=1 << 30, part_bytes=8 << 20, least_part=1 << 20)
    parts = []
    for _ in range(4):
        [part] = scheduler.startable()
        scheduler.answered(part, Answer(part.start, 1 << 30, "id", ranged=True))
        scheduler.received(part, bytes(part.stop - part.start))
        scheduler.completed(part)
        scheduler.released(part)
        while scheduler.take(part.run) is not None:
            pass
        parts.append(part)
    assert [(part.stop - part.start) >> 20 for part in parts] == [1, 6, 8, 8]


def test_parts_of_the_first_shard_come_before_new_shards_once_its_size_is_known():
    scheduler = make(objects=9, connections=2)
    first, second = scheduler.startable()
    scheduler.answered(first, Answer(0, 35, "e", ranged=True))
    assert scheduler.startable() == []
    scheduler.completed(first)
    scheduler.released(first)
    assert ranges(scheduler.startable()) == [(0, 10, 20)]
    scheduler.answered(second, Answer(0, 12, "e", ranged=True))
    scheduler.completed(second)
    scheduler.released(second)
    assert ranges(scheduler.startable()) == [(0, 20, 30)]


def test_a_small_shard_gives_back_what_its_first_part_reserved_too_much():
    scheduler = make()
    first = scheduler.startable()[0]
    scheduler.answered(first, Answer(0, 3, "e", ranged=True))
    assert first.stop == 3
    assert scheduler.budget.reserved == 3 + 10 + 10


def test_nothing_overtakes_a_part_that_does_not_fit():
    scheduler = make(budget=15)
    (first,) = scheduler.startable()
    scheduler.answered(first, Answer(0, 30, "e", ranged=True))
    scheduler.received(first, b"x" * 10)
    scheduler.completed(first)
    scheduler.released(first)
    assert scheduler.startable() == []  # 10 reserved, 10 wanted, and shard 1 must not slip in
    run = scheduler.rotation.current()
    assert run is not None
    assert scheduler.take(run) == b"x" * 10
    assert ranges(scheduler.startable()) == [(0, 10, 20)]


@pytest.mark.parametrize(("budget", "others"), [(20, 0), (30, 1), (50, 3)])
def test_others_leave_room_for_the_next_part_of_a_shard_that_has_not_answered(budget, others):
    """Or each of its parts would pass the budget, once it answers."""
    scheduler = make(objects=9, connections=9, budget=budget)
    first, *rest = scheduler.startable()
    assert len(rest) == others
    scheduler.answered(first, Answer(0, 35, "e", ranged=True))
    assert ranges(scheduler.startable()) == [(0, 10, 20)]
    assert scheduler.budget.reserved == budget


def test_the_part_that_the_reader_needs_may_pass_the_budget():
    scheduler = make(budget=1, connections=3)
    assert ranges(scheduler.startable()) == [(0, 0, 10)]


def test_a_stream_pauses_when_as_much_waits_as_it_has_reserved():
    scheduler = make(connections=1)
    (part,) = scheduler.startable()
    scheduler.answered(part, Answer(0, None, None, ranged=False))
    scheduler.received(part, b"x" * 9)
    assert not part.full
    scheduler.received(part, b"x" * 5)
    assert part.full
    assert part.run.state is ShardState.STREAMED
    run = scheduler.rotation.current()
    assert run is not None
    scheduler.take(run)
    assert not part.full


def test_paused_streams_cannot_block_the_reader_when_the_number_of_connections_is_lowered():
    scheduler = make(objects=3, connections=3)
    first, second, third = scheduler.startable()
    scheduler.answered(first, Answer(0, 25, "e", ranged=True))
    for part in (second, third):
        scheduler.answered(part, Answer(0, None, None, ranged=False))
        scheduler.received(part, b"x" * 10)
        scheduler.budget.paused += 1
    scheduler.budget.connections = 1
    scheduler.received(first, b"x" * 10)
    scheduler.completed(first)
    scheduler.released(first)
    run = scheduler.rotation.current()
    assert run is first.run
    assert scheduler.take(run) is not None
    scheduler.at_end(run)
    assert ranges(scheduler.startable()) == [(0, 10, 20)]


@pytest.mark.parametrize("given_up", [False, True])
def test_a_buffer_is_lent_again_only_when_nobody_can_write_to_it_any_more(given_up):
    """A part that is started anew is read while its cancelled task may still wait for a system call."""
    scheduler = make(objects=1, connections=1)
    (probe,) = scheduler.startable()
    scheduler.answered(probe, Answer(0, 40, "e", ranged=True))
    scheduler.received(probe, b"x" * 10)
    scheduler.completed(probe)
    scheduler.released(probe)
    assert scheduler.take(probe.run) == b"x" * 10
    (stalled,) = scheduler.startable()
    buffer = stalled.buffer
    assert buffer is not None
    scheduler.received(stalled, memoryview(buffer)[:4])
    assert scheduler.restart(stalled) is not None
    assert scheduler.take(stalled.run) is not None
    if given_up:
        scheduler.end(stalled.run)
    else:
        scheduler.at_end(stalled.run)
        scheduler.recycle(stalled.run)
    assert stalled.buffer is buffer
    scheduler.released(stalled)
    assert stalled.buffer is None


def test_giving_up_a_shard_frees_its_budget_at_once_and_its_connections_when_the_tasks_end():
    scheduler = make(objects=1)
    (first,) = scheduler.startable()
    scheduler.answered(first, Answer(0, 40, "e", ranged=True))
    rest = scheduler.startable()
    scheduler.failed(first, FetchError("broken"))
    scheduler.released(first)
    run = scheduler.rotation.current()
    assert run is not None
    assert scheduler.take(run) is None
    assert str(scheduler.failure(run)) == "broken"
    assert scheduler.end(run) == rest
    assert scheduler.budget.reserved == 0
    assert scheduler.budget.in_flight == 3
    scheduler.received(rest[0], b"late")
    assert not rest[0].chunks
    assert rest[0].state is PartState.DROPPED
    assert scheduler.rotation.current() is None


def test_rotation_puts_the_next_shard_into_the_place_of_the_one_that_ended():
    scheduler = make(objects=4, interleave=2)
    scheduler.startable()
    seen = []
    while (run := scheduler.rotation.current()) is not None:
        seen.append(run.shard.index)
        if len(seen) % 3 == 0:
            scheduler.end(run)
        else:
            scheduler.rotation.next_turn()
    assert seen == [0, 1, 0, 2, 1, 2, 3, 1, 3, 1, 1, 1]


def test_a_plan_that_raises_is_read_up_to_there():
    def shards():
        yield Shard("s0", 0)
        raise ZeroDivisionError

    scheduler = Scheduler(shards(), connections=4, budget=100, part_bytes=10)
    assert len(scheduler.startable()) == 1
    assert isinstance(scheduler.rotation.plan_error, ZeroDivisionError)
    run = scheduler.rotation.current()
    assert run is not None
    scheduler.end(run)
    assert scheduler.rotation.current() is None


@pytest.mark.parametrize("arrival", [False, True])
def test_an_endless_plan_is_drawn_no_further_than_needed(arrival):
    drawn = []

    def shards():
        for index in range(10**9):
            drawn.append(index)
            yield Shard("s", index)

    scheduler = Scheduler(shards(), connections=3, budget=1000, part_bytes=10, arrival=arrival)
    assert len(scheduler.startable()) == 3
    assert len(drawn) <= 4
