import pytest

from asyncwds import Origin
from asyncwds.errors import DuplicateFieldError, RepeatedKeyError
from asyncwds.tar import Grouper, Refused, base_plus_ext, is_meta


def group(*names, step=100, **options):
    """Samples and faults of members with these names, whose payloads are their numbers, fed `step` at a time."""
    grouper = Grouper("mem:shard.tar", 7, **options)
    members = [(name, b"%d" % n, n * 1024) for n, name in enumerate(names)]
    samples, faults = [], []
    for start in range(0, len(members), step):
        faults_before = len(samples)
        samples += grouper.feed(members[start : start + step])
        faults += [(faults_before + position, fault) for position, fault in grouper.faults]
    samples += grouper.finish()
    assert grouper.faults == []
    return samples, faults


def fields(samples):
    return [{name: value for name, value in sample.items() if name != "__url__"} for sample in samples]


@pytest.mark.parametrize(
    ("path", "split"),
    [
        ("a.jpg", ("a", "jpg")),
        ("a.b.jpg", ("a", "b.jpg")),
        ("d.x/a.jpg", ("d.x/a", "jpg")),
        ("./x.jpg", ("./x", "jpg")),
        ("../x.jpg", ("../x", "jpg")),
        ("/abs/x.jpg", ("/abs/x", "jpg")),
        ("x.", ("x", "")),
        ("a.JPG", ("a", "JPG")),
        ("dir/.hid.jpg", ("dir/", "hid.jpg")),
        ("/.hid", ("/", "hid")),
        ("a.b/c/.hid", ("a.b/c/", "hid")),
        ("a.b/.hid", (None, None)),
        ("./.hid", (None, None)),
        (".a.b", (None, None)),
        ("noext", (None, None)),
        ("d.x/noext", (None, None)),
        ("", (None, None)),
        ("d/", (None, None)),
    ],
)
def test_base_plus_ext(path, split):
    assert base_plus_ext(path) == split


@pytest.mark.parametrize(
    ("name", "meta"),
    [
        ("__meta__", True),
        ("__x__/a.jpg", True),
        ("__a.b__", True),
        ("__", True),
        ("____/a.jpg", True),
        ("___/a.jpg", False),
        ("__x__.json", False),
        ("d/__x__/a.jpg", False),
        ("__x/a.jpg", False),
    ],
)
def test_is_meta(name, meta):
    assert is_meta(name) is meta


@pytest.mark.parametrize("step", [1, 2, 3, 100])
def test_adjacent_members_with_one_key_are_a_sample(step):
    samples, faults = group("a.jpg", "a.cls", "b.jpg", "d/b.jpg", "d/b.x.json", "noext", "d/b.txt", "a.jpg", step=step)
    assert [(position, type(fault), fault.key) for position, fault in faults] == [(3, RepeatedKeyError, "a")]
    assert fields(samples) == [
        {"__key__": "a", "jpg": b"0", "cls": b"1"},
        {"__key__": "b", "jpg": b"2"},
        {"__key__": "d/b", "jpg": b"3", "x.json": b"4", "txt": b"6"},
        {"__key__": "a", "jpg": b"7"},
    ]
    assert [sample.origin for sample in samples] == [Origin(7, 0, 0), Origin(7, 1, 2048), Origin(7, 2, 3072), Origin(7, 3, 7168)]
    assert list(samples[0]) == ["__key__", "__url__", "jpg", "cls"]
    assert samples[0]["__url__"] == "mem:shard.tar"


@pytest.mark.parametrize("step", [1, 100])
def test_known_suffixes_do_not_mislead(step):
    """Each name has, after its first dot, what was a suffix before."""
    samples, _ = group(
        "a.jpg", ".jpg", "d/.jpg", "v1.jpg/x.jpg", "__x__/a.jpg", "__x__.jpg", "x/.jpg", "x/.JPG", "b..jpg", step=step
    )
    assert [sample["__key__"] for sample in samples] == ["a", "d/", "v1.jpg/x", "__x__", "x/", "b"]
    assert fields(samples)[-1] == {"__key__": "b", ".jpg": b"8"}


def test_local_path_is_a_field():
    (sample,), _ = group("a.jpg", local_path="/data/shard.tar")
    assert sample["__local_path__"] == "/data/shard.tar"


@pytest.mark.parametrize("step", [1, 100])
def test_suffixes_select_fields_but_not_samples(step):
    samples, _ = group("a.jpg", "a.cls", "b.cls", "c.jpg", suffixes={"jpg"}, step=step)
    assert fields(samples) == [{"__key__": "a", "jpg": b"0"}, {"__key__": "b"}, {"__key__": "c", "jpg": b"3"}]


def test_case_is_folded_or_not():
    assert fields(group("A.JPG", "B.jpg")[0]) == [{"__key__": "A", "jpg": b"0"}, {"__key__": "B", "jpg": b"1"}]
    assert fields(group("A.JPG", "A.jpg", lcase=False)[0]) == [{"__key__": "A", "JPG": b"0", "jpg": b"1"}]


def test_own_keys():
    def keys(name):
        return (name[0], name[1:]) if name[0] != "-" else (None, None)

    assert fields(group("a.jpg", "a.b.jpg", "-x", "b/c", keys=keys)[0]) == [
        {"__key__": "a", ".jpg": b"0", ".b.jpg": b"1"},
        {"__key__": "b", "/c": b"3"},
    ]


def test_reserved_names_are_skipped_unless_wanted():
    assert [sample["__key__"] for sample in group("__x__/a.jpg", "__x.jpg", "__x.y__", "a.b__", "a.c__")[0]] == ["__x", "a"]
    assert [sample["__key__"] for sample in group("__x__/a.jpg", "__x.y__", skip_meta=False)[0]] == ["__x__/a", "__x"]


def test_bad_samples_are_dropped_but_counted():
    samples, _ = group("a.__bad__", "b.jpg", "c.jpg", "c.__bad__")
    assert [(sample["__key__"], sample.origin.ordinal) for sample in samples] == [("b", 1)]
    grouper = Grouper("x", 0)
    assert [sample["__key__"] for sample in grouper.feed([("a.__bad__", b"", 0), ("b.jpg", b"", 0)])] == ["a"]  # not true


def test_faults_say_where_they_happened():
    samples, faults = group("a.x", "b.x", "b.X", "b.y", "c.x", "c.x", "c.x", "d.__key__", "d.__url__")
    assert [sample["__key__"] for sample in samples] == ["a", "b", "c", "d"]
    assert [(position, fault.key, fault.offset) for position, fault in faults] == [
        (1, "b", 2048),
        (2, "c", 5120),
        (2, "c", 6144),
        (3, "d", 7168),
        (3, "d", 8192),
    ]
    assert all(isinstance(fault, DuplicateFieldError) for _, fault in faults)
    assert fields(samples)[1] == {"__key__": "b", "x": b"1", "y": b"3"}


def test_pending_key():
    grouper = Grouper("x", 0)
    assert grouper.pending_key is None
    grouper.feed([("a.jpg", b"", 0), ("b/c.jpg", b"", 0)])
    assert grouper.pending_key == "b/c"
    grouper.finish()
    assert grouper.pending_key is None
    assert grouper.finish() == []


def test_errors_of_users_functions_are_faults_too():
    refused = Refused()
    refused.error = ZeroDivisionError()
    for keys in (base_plus_ext, lambda name: (name[0], name[1:])):
        grouper = Grouper("x", 0, keys=keys)
        samples = grouper.feed([("a.x", b"1", 0), (refused, b"2", 1), ("a.y", b"3", 2), ("b.x", b"4", 3), (refused, b"5", 4)])
        assert grouper.faults == [(0, refused.error), (1, refused.error)]
        assert [list(sample.values())[2:] for sample in samples] == [[b"1", b"3"]]


@pytest.mark.parametrize(("name", "keys"), [("b.x", ["a"]), ("a.y", []), ("noext", []), ("__x__/b.x", [])])
def test_a_name_may_tell_that_the_open_sample_is_complete(name, keys):
    grouper = Grouper("x", 0)
    grouper.feed([("a.x", b"1", 0)])
    assert [sample["__key__"] for sample in grouper.completed_by(name)] == keys


def test_the_memory_of_suffixes_is_bounded():
    grouper = Grouper("x", 0)
    for n in range(3000):
        grouper.feed([(f"a{n}.s{n}", b"", n)])
    assert len(grouper._fields) == 1024
    assert [sample["s3000"] for sample in grouper.feed([("b.s3000", b"1", 0), ("c.s1", b"", 0)])[1:]] == [b"1"]
