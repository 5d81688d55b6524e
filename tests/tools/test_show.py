"""Samples in a terminal: what is said of fields, how pictures are drawn, and that nothing of a sample is obeyed."""

import io
import json
import os
import pickle
import pty
import re
import subprocess
import termios
import wave
from base64 import b64decode
from contextlib import closing, suppress

import numpy as np
import pytest
from click.testing import CliRunner
from command_line import COMMAND
from PIL import Image

from asyncwds import tenbin
from asyncwds.cli import main
from asyncwds.errors import SpecError
from asyncwds.testing import make_shard
from asyncwds.tools import Inputs, Report, Selection, Style, as_blocks, as_kitty, as_sixels, choose_style, graphics_of, show_samples

PIXELS = np.random.default_rng(0).integers(0, 256, (9, 7, 3), np.uint8)
IMAGE = Image.fromarray(PIXELS)


def encoded(image, form="png"):
    with io.BytesIO() as file:
        image.save(file, form)
        return file.getvalue()


def show(*arguments, **environment):
    """The command, in this process: its exit status, what it wrote, and what it complained about."""
    done = CliRunner(env={"NO_COLOR": None, **environment}).invoke(main, ["show", *map(str, arguments)])
    return done.exit_code, done.stdout, done.stderr


EVIL = "\x1b[2J\x1b]0;title\x07\u202e\x9b31m"
SAMPLES = [
    {"__key__": "a/0", "png": encoded(IMAGE), "cls": "3", "json": '{"width": 7, "tags": [true, null, "x"]}'},
    {"__key__": "a/1", "png": b"no image", "json": "{broken", "pkl": b"cos\nsystem\n(S'true'\ntR."},
    {"__key__": f"a/{EVIL}", "txt": f"{EVIL}\nsecond line\r\n\tthird", f"{EVIL}.txt": "x", "json": json.dumps({EVIL: EVIL})},
]


@pytest.fixture
def shard(tmp_path):
    (tmp_path / "a.tar").write_bytes(make_shard(SAMPLES))
    return str(tmp_path / "a.tar")


def test_lines(shard):
    with closing(show_samples(Inputs(urls=[shard]), Selection(limit=2))) as samples:
        first, second = [sample.lines() for sample in samples]
    assert first == [
        "a/0",
        f"  sample 0 of {shard}, 3.1 kB at byte 0",
        f"  png {len(SAMPLES[0]['png'])} B PNG 7 x 9, RGB",
        "  cls 1 B 3",
        "  json 39 B",
        *[f"    {line}" for line in json.dumps(json.loads(SAMPLES[0]["json"]), indent=2).splitlines()],
    ]
    assert second[2:] == [
        "  png 8 B ValueError: this is no image that is known",
        "  json 7 B this is no JSON",
        "    {broken",
        second[-1],
    ]
    assert "DecodeError" in second[-1]
    assert "system" in second[-1]


@pytest.mark.parametrize("graphics", ["none", "blocks"])
def test_nothing_of_a_sample_is_obeyed(shard, graphics):
    colour = re.compile(r"\x1b\[[\d;]*m")
    with closing(show_samples(Inputs(urls=[shard]))) as samples:
        for sample in samples:
            lines = sample.lines(Style(graphics=graphics, colours=0 if graphics == "none" else 256))
            assert all(colour.sub("", line).isprintable() for line in lines)
            assert graphics == "blocks" or not any("\x1b" in line for line in lines)


def test_long_texts_are_cut_unless_a_field_is_asked_for(tmp_path):
    (tmp_path / "a.tar").write_bytes(make_shard([{"__key__": "k", "txt": "word " * 1000 + "\n" + "line\n" * 50}]))
    _, shown, _ = show(tmp_path / "a.tar")
    assert "… and 31 more lines" in shown
    assert "more characters" in shown
    assert show(tmp_path / "a.tar", "--field", "TXT")[1].count("line\n") == 50


def test_only_a_field(shard):
    report = Report()
    with closing(show_samples(Inputs(urls=[shard]), only=["cls"], report=report)) as samples:
        assert [[field.name for field in sample.fields] for sample in samples] == [["cls"]]
    assert (report.samples_in, report.samples_out, report.dropped) == (3, 1, {"no such field": 2})


def test_a_field_that_no_sample_has(shard, tmp_path):
    assert show(shard, "--field", "cls")[2] == "asyncwds: 2 samples without a field cls\n"
    status, shown, said = show(shard, "--field", "nothing", "--field", "no")
    assert (status, shown, said) == (2, "", "asyncwds: no sample has a field nothing or no\n")
    assert show(shard, "--field", "nothing", "--html", str(tmp_path / "a.html"))[0] == 2


def test_as_json(shard):
    first, second, third = [json.loads(line) for line in show(shard, "--json")[1].splitlines()]
    assert first["fields"][0] == {"name": "png", "kind": "image", "bytes": len(SAMPLES[0]["png"]), "about": "PNG 7 x 9, RGB"}
    assert first["fields"][2]["value"] == json.loads(SAMPLES[0]["json"])
    assert (first["key"], first["url"], first["index"], first["offset"]) == ("a/0", shard, 0, 0)
    assert "problem" in second["fields"][0]
    assert third["fields"][0]["text"] == SAMPLES[2]["txt"]


def test_ten_samples_are_shown_unless_a_number_is_given(tmp_path):
    (tmp_path / "a.tar").write_bytes(make_shard([{"__key__": f"{n:02d}", "txt": "x"} for n in range(12)]))
    status, shown, note = show(tmp_path / "a.tar")
    assert (status, shown.count("  txt 1 B x\n"), note.count("-n says")) == (0, 10, 1)
    status, shown, note = show(tmp_path / "a.tar", "-n", "11", "--where", "key > '00'")
    assert (status, shown.count("  txt 1 B x\n"), note) == (0, 11, "")
    assert show(tmp_path / "nothing.tar")[0] == 3
    assert show(tmp_path / "a.tar", "--where", "import os")[0] == 1


def test_damaged_shards(tmp_path):
    (tmp_path / "a.tar").write_bytes(make_shard([{"__key__": f"{n:02d}", "txt": "x" * 1000} for n in range(5)])[:6000])
    assert show(tmp_path / "a.tar")[0] == 2
    status, _, complaint = show(tmp_path / "a.tar", "--on-error", "skip")
    assert (status, "asyncwds: damaged: " in complaint) == (4, True)


def npy(array):
    with io.BytesIO() as file:
        np.save(file, array)
        return file.getvalue()


def sound():
    with io.BytesIO() as out:
        with wave.open(out, "wb") as file:
            file.setnchannels(2)
            file.setsampwidth(2)
            file.setframerate(8000)
            file.writeframes(bytes(4 * 4000))
        return out.getvalue()


NESTED = {"a": np.arange(6).reshape(2, 3), "b": [1, 2], "c": {"d": b"xyz", "e": [np.zeros(2)]}, "f": "word"}
NESTED_LINES = """dict of 4 items
  'a': int64, 2 x 3, 0 to 5, mean 2.5
  'b': list of 2 items: 1, 2
  'c': dict of 2 items
    'd': 3 bytes
    'e': list of 1 item
      0: float64, 2, 0 to 0, mean 0
  'f': 'word'"""


@pytest.mark.parametrize(
    ("name", "data", "about"),
    [
        ("seg.npy", npy(np.ones((2, 3), np.float32)), "float32, 2 x 3, 1 to 1, mean 1"),
        ("pyd", pickle.dumps(NESTED), NESTED_LINES),
        ("pkl", pickle.dumps(list(range(100))), "list of 100 items: 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, …"),
        ("ten", tenbin.encode_buffer([np.zeros((4, 5), np.float32)]), "list of 1 item\n  0: float32, 4 x 5, 0 to 0, mean 0"),
        ("gif", encoded(IMAGE, "gif"), "GIF 7 x 9, P"),
    ],
)
def test_facts(name, data, about, tmp_path):
    (tmp_path / "a.tar").write_bytes(make_shard([{"__key__": "k", name: data}]))
    with closing(show_samples(Inputs(urls=[f"{tmp_path}/a.tar"]))) as samples:
        assert [field.about for sample in samples for field in sample.fields] == [about]


def test_facts_of_sound(tmp_path):
    (tmp_path / "a.tar").write_bytes(make_shard([{"__key__": "k", "wav": sound()}]))
    _, shown, _ = show(tmp_path / "a.tar")
    assert re.search(r"8000 Hz, 2 channels(; |, )0\.5 s\n", shown)


def colours_in(line):
    """Foreground and background of each character."""
    found, above, below = [], None, None
    for foreground, background, behind, blocks in re.findall(r"\x1b\[38;2;([\d;]+)m|\x1b\[48;2;([\d;]+)m|(\x1b\[49m)|(▀+)", line):
        above = foreground or above
        below = background or (None if behind else below)
        found += [(above, below)] * len(blocks)
    return [tuple(None if each is None else [int(part) for part in each.split(";")] for each in pair) for pair in found]


def test_blocks_have_the_colours_of_the_pixels():
    lines = list(as_blocks(IMAGE, 2**24))
    assert all(line.endswith("\x1b[0m") for line in lines)
    rows = []
    for line in lines:
        above, below = zip(*colours_in(line), strict=True)
        rows += [list(above), list(below)]
    assert rows.pop() == [None] * 7
    assert rows == PIXELS.tolist()


@pytest.mark.parametrize(
    ("rgb", "number"), [((0, 0, 0), 16), ((255, 255, 255), 231), ((255, 0, 0), 196), ((95, 135, 175), 67), ((40, 60, 120), 24)]
)
def test_256_colours(rgb, number):
    (line,) = as_blocks(Image.new("RGB", (3, 1), rgb), 256)
    assert line == f"\x1b[38;5;{number}m\x1b[49m▀▀▀\x1b[0m"


@pytest.mark.parametrize("side", [3, 100])
def test_kitty_gets_the_pixels(side):
    pixels = np.random.default_rng(0).integers(0, 256, (side, side, 3), np.uint8)
    pieces = re.findall(r"\x1b_G([^;]*);([^\x1b]*)\x1b\\", as_kitty(Image.fromarray(pixels)))
    assert [head for head, _ in pieces] == [
        ("a=T,f=100,q=2," if number == 0 else "") + ("m=0" if number == len(pieces) - 1 else "m=1") for number in range(len(pieces))
    ]
    assert all(len(text) <= 4096 for _, text in pieces)
    with Image.open(io.BytesIO(b64decode("".join(text for _, text in pieces)))) as image:
        assert np.array_equal(np.asarray(image), pixels)


def decode_sixels(text):
    """As a terminal would."""
    width, height = map(int, re.match(r'\x1bP0;1q"1;1;(\d+);(\d+)', text).groups())
    pixels, palette = np.zeros((height, width, 3), np.uint8), {}
    colour = column = top = 0
    for command in re.finditer(r"#(\d+);2;(\d+);(\d+);(\d+)|#(\d+)|(?:!(\d+))?([?-~])|([$-])", text[text.index("#") :]):
        if command[1]:
            palette[int(command[1])] = [round(int(command[n]) * 2.55) for n in (2, 3, 4)]
        elif command[5]:
            colour = palette[int(command[5])]
        elif command[8]:
            column, top = 0, top + 6 * (command[8] == "-")
        elif command[7] != "\\":
            run = slice(column, column := column + int(command[6] or 1))
            for bit in range(6):
                if (ord(command[7]) - 63) >> bit & 1:
                    pixels[top + bit, run] = colour
    return pixels


def test_sixels_have_the_colours_of_the_pixels():
    pixels = np.repeat(np.array([[[255, 0, 0]], [[0, 255, 0]], [[0, 0, 255]], [[255, 255, 255]]] * 4, np.uint8), 20, axis=1)
    pixels[5, 3:9] = 0
    text = as_sixels(Image.fromarray(pixels))
    assert np.abs(decode_sixels(text).astype(int) - pixels).max() <= 2  # levels are percents
    assert text.endswith("\x1b\\")
    assert "!" in text


@pytest.mark.parametrize(
    ("answer", "graphics"),
    [
        (b"\x1b_Gi=31;OK\x1b\\\x1b[?62c", "kitty"),
        (b"\x1b_Gi=31;ENOTSUPPORTED\x1b\\\x1b[?62;4c", "sixel"),
        (b"\x1b[?64;1;2;4;6;9c", "sixel"),
        (b"\x1b[?4c", "blocks"),  # a VT132
        (b"\x1b[?1;2c", "blocks"),
        (b"\x1b[?64;14;24c", "blocks"),
        (b"", "blocks"),
    ],
)
def test_what_terminals_say(answer, graphics):
    assert graphics_of(answer) == graphics


def test_styles():
    plain = io.StringIO()
    assert (choose_style(plain, environ={}).colours, choose_style(plain, environ={}).graphics) == (0, "none")
    assert choose_style(plain, "blocks", environ={"COLORTERM": "truecolor"}).colours == 2**24
    assert choose_style(plain, "sixel", environ={"NO_COLOR": "1"}).colours == 0
    with pytest.raises(SpecError, match="graphics"):
        choose_style(plain, "ascii")


@pytest.mark.parametrize(
    ("answer", "drawn"),
    [(b"\x1b_Gi=31;OK\x1b\\\x1b[?62c", "\x1b_Ga=T"), (b"\x1b[?64;4c", "\x1bP0;1q"), (b"\x1b[?1;2c", "▀")],
)
def test_a_terminal_is_asked_what_it_can_draw(answer, drawn, shard):
    """And is left as it was."""
    terminal, end = pty.openpty()
    termios.tcsetwinsize(end, (24, 80))
    before = termios.tcgetattr(end)
    command = ["setsid", "--ctty", *COMMAND, "show", shard, "-n", "1", "--part", "0/1"]
    environment = {**os.environ, "TERM": "xterm-256color", "COLORTERM": "truecolor", "NO_COLOR": "", "PYTHONUTF8": "1"}
    with subprocess.Popen(command, stdin=end, stdout=end, stderr=subprocess.DEVNULL, env=environment) as process:
        try:
            shown = b""
            while b"\x1b[c" not in shown:
                shown += os.read(terminal, 10_000)
            os.write(terminal, answer)
            while drawn.encode() not in shown:
                shown += os.read(terminal, 10_000)
            process.wait(timeout=60)
            assert termios.tcgetattr(end) == before
            os.close(end)
            with suppress(OSError):  # which says that nobody is at the other end any more
                while more := os.read(terminal, 10_000):
                    shown += more
        finally:
            process.kill()
            os.close(terminal)
    assert process.returncode == 0
    assert b'\x1b[34m"width"\x1b[0m: \x1b[35m7\x1b[0m' in shown


def test_a_file_gets_no_escape_sequences(shard):
    status, shown, _ = show(shard, COLORTERM="truecolor")
    assert status == 0
    assert all(char == "\n" or char.isprintable() for char in shown)
    assert "\x1b[38;2;" in show(shard, "--graphics", "blocks", COLORTERM="truecolor")[1]
