"""The language of conditions."""

import hashlib

import pytest

from asyncwds.errors import SampleError, SpecError
from asyncwds.tar import RawSample, new_member
from asyncwds.tools import parse

FIELDS = {
    "json": b'{"width": 640, "tags": ["a", "b"], "nested": {"x y": 1.5}, "nan": NaN, "none": null, "text": "12"}',
    "seg.json": b'{"width": 3}',
    "txt": b"a small red boat on the lake",
    "cls": b" 7\n",
    "jpg": b"\xff\xd8" + bytes(1000),
    "my-mask.png": b"png",
}
SAMPLE = RawSample(
    "n0144/7", "shards/a.tar", 0, 5, 0, tuple(new_member(f"n0144/7.{name}", name, data) for name, data in FIELDS.items())
)

TRUE = [
    'json.width >= 512 and len(txt) > 20 and size(jpg) < 2e6 and key.startswith("n0144") and cls in (7, 9)',
    "json.tags[0] == 'a' and json['nested']['x y'] > 1 and json.tags[-1] == 'b'",
    "seg.json.width == 3",
    "size(field('my-mask.png')) == 3 and has(field('my-mask.png')) and len(field('my-mask.png')) == 3",
    "has(jpg) and has(json.width) and not has(json.height) and not has(png)",
    "index == 5 and shard.endswith('a.tar') and like(key, 'n01*')",
    "1 < cls < 9 and cls % 2 == 1 and -cls + 1 == -6 and cls // 2 == 3 and cls / 2 == 3.5 and cls * 2 - 1 == 13",
    "'red' in txt and 'green' not in txt and txt.upper().startswith('A SMALL')",
    "int(json.text) == 12 and float('1.5') == 1.5 and str(cls) == '7' and max(cls, 3) == 7 and min(2, 3) == 2 and abs(-2) == 2",
    "key + '!' == 'n0144/7!'",
    f"sha256(txt) == '{hashlib.sha256(FIELDS['txt']).hexdigest()}'",
    "nbytes == 6 * 512 + 6 * 512 + 512 and text(cls) == ' 7\\n' and strip(text(cls)) == '7'",
    "words(txt) == 7 and len(text(jpg)) == 1002 and text(png) is None and words(5) is None and text(field('my-mask.png')) == 'png'",
    # What is missing is None; nothing can be said of it but that.
    "json.height is None and json.height == None and png is None and json.none is None",
    "json.width is not None",
    "not (json.height >= 512)",
    "len(png) is None and json.height + 1 is None and json.tags[9] is None and 1 / 0 is None and 'a' * 3 is None",
    "int('x') is None and size(png) is None and sha256(png) is None and key[0] is None",
    # NaN is neither here nor there.
    "not json.nan and not (json.nan == json.nan) and not (json.nan < 1) and not (json.nan != 1)",
]
FALSE = [
    "json.height != 5",
    "json.height < 5 or json.height >= 5",
    "'x' < 5",
    "5 in 7",
    "None in (1, 2)",
    "txt.startswith(5)",
    "cls == '7'",
    "json.nan",
    "png",
]


@pytest.mark.parametrize(("text", "value"), [(text, True) for text in TRUE] + [(text, False) for text in FALSE])
def test_conditions(text, value):
    assert parse(text).is_true(SAMPLE) is value


@pytest.mark.parametrize(
    "text",
    [
        "",
        "import os",
        "__import__('os').system('true')",
        "().__class__.__bases__[0].__subclasses__()",
        "open('/etc/passwd')",
        "(lambda: 1)()",
        "[x for x in (1, 2)]",
        "f'{key}'",
        "2 ** 2 ** 20",
        "1 << 99",
        "txt.format(key)",
        "len(txt, txt)",
        "len(*txt)",
        "max(1, key=len)",
        "json[key]",
        "key is key",
        "x := 1",
        "b'bytes'",
        "...",
        "1j",
        "field(key)",
        "a; b",
        "(" * 300 + ")" * 300,
        "not " * 9_000,
        "key" + " or key" * 9_000,
    ],
)
def test_what_is_not_of_the_language(text):
    with pytest.raises(SpecError):
        parse(text)


@pytest.mark.parametrize(("field", "data"), [("json", b"{"), ("cls", b"cat"), ("txt", b"\xff\xfe")])
def test_a_field_that_does_not_hold_what_its_name_says(field, data):
    sample = SAMPLE._replace(members=(new_member(f"k.{field}", field, data),))
    with pytest.raises(SampleError, match="does not hold what its name says") as raised:
        parse(f"{field} is None").is_true(sample)
    assert raised.value.key == SAMPLE.key
