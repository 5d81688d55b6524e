"""Slots that a GPU reads by itself: registered once, and given back when it has read them. CUDA is played by a record of calls."""

from __future__ import annotations

import mmap

import numpy as np
import pytest

from asyncwds.parallel import KEPT, Batch, Packed, Slots, find_pages


class Event:
    def __init__(self):
        self.is_done = False

    def query(self):
        return self.is_done


class Recorded:
    """Registers what it is given, if it does not refuse."""

    def __init__(self, accepts=True):
        self.accepts = accepts
        self.registered = {}
        self.events = []

    def register(self, address, nbytes):
        if self.accepts:
            self.registered[address] = nbytes
        return self.accepts

    def unregister(self, address):
        del self.registered[address]

    def mark(self):
        self.events.append(Event())
        return self.events[-1]


def filled(value, size=100):
    """A segment with a batch, and the message that it is there."""
    packed = Packed(np.full(size, value))
    segment = mmap.mmap(-1, 1 << 16)
    places = packed.copy_to(np.frombuffer(segment, np.uint8))
    return segment, places


@pytest.fixture
def freed():
    return []


def test_a_slot_goes_back_when_the_gpu_has_read_it(freed):
    pages = Recorded()
    slots = Slots(freed.append, pages)
    segment, places = filled(7)
    slots.map(0, segment)
    assert list(pages.registered.values()) == [1 << 16]
    batch = slots.take(Batch(1, 0, places, is_new=True))
    assert batch.tolist() == [7] * 100
    (address,) = pages.registered
    assert address <= batch.ctypes.data < address + (1 << 16)
    del batch
    assert (len(pages.events), freed) == (1, [])  # the stream may be copying it
    slots.map(1, filled(8)[0])
    slots.take(Batch(1, 1, places, is_new=True))
    assert freed == []
    pages.events[0].is_done = True
    slots.take(Batch(1, 1, places, is_new=False))
    assert freed == [0]
    assert len(pages.registered) == 2
    slots.close()
    assert pages.registered == {}


def test_a_segment_in_place_of_another_one_is_registered_for_it(freed):
    pages = Recorded()
    slots = Slots(freed.append, pages)
    for value in (1, 2):
        slots.map(0, filled(value)[0])
        assert len(pages.registered) == 1
    slots.close()


def test_where_cuda_refuses_slots_are_as_without_it(freed):
    for pages in (None, Recorded(accepts=False)):
        slots = Slots(freed.append, pages)
        segment, places = filled(3)
        slots.map(5, segment)
        slots.take(Batch(1, 5, places, is_new=True))
        slots.close()
    assert freed == [5, 5]


def test_who_keeps_many_batches_is_given_copies(freed):
    slots = Slots(freed.append, None)
    kept = []
    for number in range(KEPT + 3):
        segment, places = filled(number)
        slots.map(number, segment)
        kept.append(slots.take(Batch(1, number, places, is_new=True)))
    assert freed == [KEPT, KEPT + 1, KEPT + 2]
    assert [array[0] for array in kept] == list(range(KEPT + 3))
    del kept[1]
    assert freed[-1] == 1


def test_without_cuda_there_are_no_pages_to_register():
    assert find_pages(False) is None
    assert find_pages(None) is None
