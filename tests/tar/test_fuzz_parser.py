"""The invariant: any bytes give members or a TarError, never another exception, and the chunks make no difference."""

import io
import tarfile

from hypothesis import given, settings
from hypothesis import strategies as st

from asyncwds.errors import TarError

texts = st.sampled_from([b"a.txt", b"d/", b"n" * 100, b"", b"\xff.x", b"a\0b", b"__m__"])
sizes = st.sampled_from(
    [b"0", b"1", b"777", b"1000", b"1001", b"77777777777", b"-1", b"\x80" + bytes(10) + b"\5", b"\xff" * 12, b"junk"]
)
bodies = st.sampled_from(
    [
        b"",
        b"8 path=\n",
        b"12 path=abc\n",
        b"20 mtime=1700000000\n",
        b"10 size=7\n",
        b"13 size=junk\n",
        b"25 GNU.sparse.name=a.txt\n",
        b"99 x=y\n",
        b"\0",
    ]
)
kinds = st.sampled_from([*b"0000\x007xxxgLKXS125AZM"]).map(lambda kind: bytes([kind]))
magics = st.sampled_from([b"ustar\x0000", b"ustar  \0", bytes(8)])


@st.composite
def blocks(draw, header, entry):
    """Any mixture of sound headers, false ones, payloads and zeros."""
    pieces = []
    for _ in range(draw(st.integers(0, 8))):
        prefix = draw(st.sampled_from([b"", b"", b"p"]))
        match draw(st.integers(0, 5)):
            case 0 | 1:
                pieces.append(entry(draw(texts), draw(bodies), draw(kinds), prefix=prefix, magic=draw(magics)))
            case 2:
                pieces.append(header(draw(texts), 0, draw(kinds), size_field=draw(sizes), magic=draw(magics)))
            case 3:
                pieces.append(bytes(draw(st.sampled_from([512, 1024, 100]))))
            case 4:
                pieces.append(entry(draw(texts), draw(st.binary(max_size=600))))
            case _:
                pieces.append(entry(b"x", draw(bodies), b"x") + entry(draw(texts), b"data"))
    return b"".join(pieces)


def check(outcome):
    members, error = outcome
    assert error is None or isinstance(error, TarError)
    assert all(type(name) is str and type(data) is bytes for name, data, _ in members)
    return members, error


@given(data=st.binary(max_size=2000))
@settings(max_examples=50, deadline=None)
def test_random_bytes(parse, data):
    members, error = check(parse(data))
    assert members == []
    assert error is not None or not data.strip(b"\0")


@given(data=st.data(), total=st.one_of(st.none(), st.integers(0, 8000)), most=st.sampled_from([0, 5, 1 << 30]))
@settings(max_examples=200, deadline=None)
def test_random_blocks(parse, header, entry, data, total, most):
    check(parse(data.draw(blocks(header, entry)), total=total, max_member_bytes=most))


@given(changes=st.lists(st.tuples(st.integers(0, 8191), st.integers(1, 255)), min_size=1, max_size=3), cut=st.integers(0, 8192))
@settings(max_examples=80, deadline=None)
def test_damaged_archives_give_what_came_before_the_damage(parse, changes, cut):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for n in range(6):
            info = tarfile.TarInfo(f"{n}.txt" if n % 3 else "ä" * 60)
            info.size, info.mtime = 100 * n, n / 2
            tar.addfile(info, io.BytesIO(b"%d" % n * info.size))
    whole = buffer.getvalue()[:8192]
    before, _ = parse(whole)
    damaged = bytearray(whole[:cut])
    for place, change in changes:
        if place < cut:
            damaged[place] ^= change
    first = min([cut, *(place for place, _ in changes)])
    members, _ = check(parse(bytes(damaged)))
    sound = [
        member for member, following in zip(before, [*before[1:], ("", b"", len(whole))], strict=True) if following[2] <= first
    ]
    assert members[: len(sound)] == sound


def test_an_end_mark_that_reaches_beyond_the_end_is_one(parse, entry):
    members, error = check(parse(entry(b"a.txt", b"data") + bytes(512), total=1024 + 100))
    assert (len(members), error) == (1, None)
