from __future__ import annotations

from zlib import crc32

from hypothesis import given
from hypothesis import strategies as st

from asyncwds.storage.cache.journal import Header, Journal, header_line, span_line

HEADER = Header("http://host/a.tar", "00ff", 5000, '"etag"', ranged=True, boot="boot")
spans = st.lists(st.tuples(st.integers(0, 5000), st.integers(0, 5000)).filter(lambda span: span[0] < span[1]), max_size=8)


def bytes_of(journal: Journal) -> set[int]:
    return {byte for start, stop in journal.complete for byte in range(start, stop)}


@given(spans, st.data())
def test_what_is_written_is_read_in_any_pieces(written, data):
    text = header_line(HEADER) + b"".join(span_line(*span) for span in written)
    journal = Journal()
    while journal.read < len(text):
        stop = data.draw(st.integers(journal.read + 1, len(text)))
        journal.absorb(journal.read, text[journal.read : stop])
    assert journal.header == HEADER
    assert bytes_of(journal) == {byte for start, stop in written for byte in range(start, stop)}


@given(spans, st.data())
def test_lines_that_are_cut_or_run_into_each_other_say_nothing_that_was_not_written(written, data):
    """Writers that were killed, appends that overwrote one another over a network: bytes are missing or of others."""
    lines = [header_line(HEADER), *(span_line(*span) for span in written)]
    text = bytearray(b"".join(line[: data.draw(st.integers(0, len(line)))] for line in lines))
    for place in data.draw(st.lists(st.integers(0, max(0, len(text) - 1)), max_size=3)):
        text[place : place + 1] = data.draw(st.sampled_from([b"", b"0", b" ", b"\n", b"f"]))
    journal = Journal()
    journal.absorb(0, bytes(text))
    assert bytes_of(journal) <= {byte for start, stop in written for byte in range(start, stop)}
    assert journal.header in (None, HEADER)


def test_a_cut_line_does_not_spoil_the_next():
    journal = Journal()
    journal.absorb(0, span_line(0, 10)[:-3] + span_line(20, 30))
    assert list(journal.complete) == [(20, 30)]


def test_of_what_two_have_read_at_once_nothing_is_lost_and_nothing_taken_twice():
    """Who claims bytes has to know of all that came before: it may have read more than somebody who began at the same place."""
    journal = Journal()
    text = header_line(HEADER) + span_line(0, 10)
    longer = text + span_line(10, 20)
    journal.absorb(0, text)
    journal.absorb(0, longer)
    journal.absorb(0, text[:-3])
    assert (journal.read, list(journal.complete)) == (len(longer), [(0, 20)])


def test_whole_is_every_byte():
    journal = Journal()
    assert not journal.whole
    journal.absorb(0, header_line(HEADER) + span_line(0, 4999))
    assert not journal.whole
    journal.absorb(journal.read, span_line(4999, 5000))
    assert journal.whole


def test_the_last_header_counts():
    journal = Journal()
    stream = Header("u", "h", None, None, ranged=False, boot="")
    journal.absorb(0, header_line(stream) + header_line(HEADER))
    assert journal.header == HEADER


def test_a_header_of_another_version_is_none():
    text = b'{"something": "else"}'
    journal = Journal()
    journal.absorb(0, b"\n%s %08x\n" % (text, crc32(text)))
    assert journal.header is None
