"""Every rule finds what it is for, and nothing in sound shards."""

import json
from pathlib import Path

import pytest

from asyncwds import ShardWriter, make_index, save_index
from asyncwds.errors import SpecError
from asyncwds.testing import FaultServer, make_samples, make_shard, write_shards
from asyncwds.tools import RULES, Checks, Inputs, verify_shards


def found(urls, **wanted):
    """How often each rule found something, and whether anything is wrong."""
    urls = urls if isinstance(urls, list) else [str(urls)]
    result = verify_shards(Inputs(urls=urls), Checks(**wanted))
    return dict(result.counts), result


def test_a_rule_finds_what_it_is_for(rule, bad_shard, tmp_path):
    (tmp_path / "s.tar").write_bytes(bad_shard)
    counts, result = found(tmp_path / "s.tar")
    counts.pop("W33", None) if rule == "W23" else None  # a long name needs a header of its own
    assert counts.pop(rule) >= 1
    assert not counts
    assert bool(result.problems) == (RULES[rule].severity != "note")
    finding = next(finding for finding in result.findings if finding.rule == rule)
    assert finding.url == str(tmp_path / "s.tar")
    assert found(tmp_path / "s.tar", ignore=[*RULES])[0] == {}


def test_fields_that_are_parts_of_keys(tmp_path, archive):
    names = [f"1501.{number:05d}v1.{ending}" for number in range(1, 20) for ending in ("pdf", "txt")]
    (tmp_path / "s.tar").write_bytes(archive(*names, "1502.00001v1.pdf", "1502.00001v1.txt"))
    assert found(tmp_path / "s.tar", ignore=["W14"])[0] == {"W22": 36}  # 00001v1 is in two
    frames = [f"{key}.{number:03d}.jpg" for key in "abc" for number in range(8)]
    (tmp_path / "frames.tar").write_bytes(archive(*frames, "c.008.jpg"))
    assert found(tmp_path / "frames.tar", ignore=["W14"])[0] == {}


def test_a_sparse_member(tmp_path, entry):
    block = bytearray(entry("a.bin", b"data", b"S")[:512])
    block[386:410] = b"%011o\0%011o\0" % (0, 4)
    block[483:495] = b"%011o\0" % 2000
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    (tmp_path / "s.tar").write_bytes(bytes(block) + b"data".ljust(512, b"\0") + bytes(1024))
    assert found(tmp_path / "s.tar")[0] == {"W32": 1}


def test_shards_are_compared_with_a_manifest(tmp_path):
    with ShardWriter(str(tmp_path / "s-%d.tar"), maxcount=3, manifest=str(tmp_path / "manifest.json")) as writer:
        for sample in make_samples(6):
            writer.write(sample)
    assert found(tmp_path / "manifest.json")[0] == {}
    data = bytearray((tmp_path / "s-1.tar").read_bytes())
    data[600] ^= 1
    (tmp_path / "s-1.tar").write_bytes(data)
    assert found(tmp_path / "manifest.json")[0] == {"W07": 1}
    assert found(str(tmp_path / "s-{0,1}.tar"), against=[str(tmp_path / "manifest.json")])[0] == {"W07": 1}
    assert found(str(tmp_path / "s-{0,1}.tar"))[0] == {}
    (tmp_path / "s-1.tar").unlink()
    counts, result = found(tmp_path / "manifest.json")
    assert (counts, result.unread) == ({"W09": 1}, True)


@pytest.mark.parametrize("form", ["wids", "sizes", "asyncwds", "webshart", "energon"])
def test_shards_are_compared_with_indexes(form, tmp_path):
    (tmp_path / "s.tar").write_bytes(make_shard(make_samples(5)))
    written = save_index(make_index(tmp_path / "s.tar"), None, form)
    lists = [url for url in written if not url.endswith((".info.json", ".uuid", ".idx"))]
    assert found(tmp_path / "s.tar", against=lists)[0] == {}
    (tmp_path / "s.tar").write_bytes(make_shard(make_samples(4)))
    assert found(tmp_path / "s.tar", against=lists)[0].keys() == {"W08"}
    if form in ("asyncwds", "energon"):  # as many samples, elsewhere
        (tmp_path / "s.tar").write_bytes(make_shard(make_samples(5, size=2000)))
        assert found(tmp_path / "s.tar", against=lists)[0].keys() == {"W08"}


def test_the_md5_of_a_list_of_wids(tmp_path, archive):
    (tmp_path / "s.tar").write_bytes(archive("a.jpg", "b.jpg"))
    shard = {"url": "s.tar", "nsamples": 2, "filesize": len(archive("a.jpg", "b.jpg")), "md5sum": "0123"}
    (tmp_path / "list.json").write_text(json.dumps({"wids_version": 1, "shardlist": [shard]}))
    assert found(tmp_path / "list.json")[0] == {"W07": 1}


def test_a_shard_that_is_not_there_and_one_that_a_store_keeps_otherwise(archive):
    with FaultServer({"s.tar": archive("a.jpg", "b.jpg")}) as server:
        counts, result = found([server.url("s.tar"), server.url("none.tar")])
    assert (counts, result.unread, result.samples) == ({"W09": 1}, True, 2)


def test_a_list_of_other_shards_is_an_error(tmp_path, archive):
    for name in ("s.tar", "t.tar"):
        (tmp_path / name).write_bytes(archive("a.jpg", "b.jpg"))
    (tmp_path / "sizes.json").write_text('{"t.tar": 2}')
    with pytest.raises(SpecError, match="none of the shards is listed"):
        found(tmp_path / "s.tar", against=[str(tmp_path / "sizes.json")])
    assert found(str(tmp_path / "{s,t}.tar"), against=[str(tmp_path / "sizes.json")])[0].keys() == {"W12"}


def test_keys_in_two_shards_are_found_by_key(tmp_path, archive):
    for number, names in enumerate((["a.jpg", "b.jpg"], ["c.jpg", "b.jpg"], ["b.jpg", "d.jpg"])):
        (tmp_path / f"{number}.tar").write_bytes(archive(*names))
    _, result = found([str(tmp_path / f"{number}.tar") for number in range(3)])
    assert [(finding.rule, Path(finding.url).name, finding.key) for finding in result.findings] == [
        ("W12", "1.tar", "b"),
        ("W12", "2.tar", "b"),
    ]


def test_required_fields_and_alternatives(tmp_path, archive):
    (tmp_path / "s.tar").write_bytes(archive("a.jpg", "a.txt", "b.png", "b.txt", "c.jpg"))
    counts, result = found(tmp_path / "s.tar", require=["jpg;png", "txt"], ignore=["W14"])
    assert counts == {"W15": 1}
    assert [(finding.key, finding.message) for finding in result.findings] == [("c", "1 sample without txt")]
    assert found(tmp_path / "s.tar", require=["jpg;png"], ignore=["W14"])[0] == {}


@pytest.mark.parametrize(
    ("names", "wrong"),
    [
        (["a.jpg", "a.txt", "b.jpg", "b.txt"], False),
        (["a.jpg", "a.txt", "b.txt"], True),
        (["a.jpg", "b.JPG"], True),
        (["__info__.json", "a.jpg"], True),
        ([f"{key}.jpg" for key in "abcde"] + ["f.txt"], False),
    ],
)
def test_the_rule_of_the_hub(names, wrong, tmp_path, archive):
    (tmp_path / "s.tar").write_bytes(archive(*names))
    assert ("W16" in found(tmp_path / "s.tar", hub=True)[0]) == wrong
    assert "W16" not in found(tmp_path / "s.tar")[0]


def test_unequal_shards(tmp_path, archive):
    sizes = [10, 10, 4, 10, 21, 10, 4]
    for number, size in enumerate(sizes):
        (tmp_path / f"{number}.tar").write_bytes(archive(*[f"{number}-{key}.jpg" for key in range(size)]))
    _, result = found(str(tmp_path / "{0..6}.tar"))
    assert [(finding.rule, Path(finding.url).name) for finding in result.findings] == [("W19", "2.tar"), ("W19", "4.tar")]


def test_fields_that_cannot_be_decoded(tmp_path):
    sound = make_shard([{"__key__": "a", "json": '{"n": 1}', "cls": "3", "txt": "x"}])
    wrong = make_shard(
        [{"__key__": "b", "json": "{", "cls": "3", "txt": "x"}, {"__key__": "c", "json": "{}", "cls": "no", "txt": "x"}]
    )
    (tmp_path / "0.tar").write_bytes(sound)
    (tmp_path / "1.tar").write_bytes(wrong)
    counts, result = found(str(tmp_path / "{0,1}.tar"), decode=2)
    assert counts == {"W40": 2}
    assert {finding.key for finding in result.findings} == {"b", "c"}


def test_every_rule_has_a_test():
    text = Path(__file__).read_text() + Path(__file__).with_name("conftest.py").read_text()
    assert {rule for rule in RULES if f'"{rule}"' not in text} == set()


def test_of_many_findings_the_first_ones_are_kept_and_all_are_counted(tmp_path, archive):
    (tmp_path / "s.tar").write_bytes(archive(*[f"{key}.JPG" for key in range(100)]))
    counts, result = found(tmp_path / "s.tar")
    assert counts == {"W21": 100}
    assert len(result.findings) == 20


@pytest.mark.parametrize("compress", [None, "gz", "xz"])
def test_sound_shards_have_nothing(compress, tmp_path):
    write_shards(tmp_path, shards=4, samples=5, compress=compress)
    assert found(tmp_path, hub=True, decode=1, require=["bin", "cls", "json"])[0] == {}


def test_reports_come_in_order_while_shards_are_read(tmp_path):
    urls = write_shards(tmp_path, shards=5)
    seen = []
    result = verify_shards(Inputs(urls=urls), on_shard=lambda report: seen.append((report.url, report.samples)))
    assert seen == [(url, 10) for url in urls]
    assert result.samples == 50
