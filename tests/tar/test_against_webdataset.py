"""WebDataset reads and groups the same archives in the same way."""

import io

from hypothesis import given, settings
from hypothesis import strategies as st
from webdataset import TarWriter
from webdataset.tariterators import base_plus_ext as webdataset_base_plus_ext
from webdataset.tariterators import group_by_keys, tar_file_expander

from asyncwds.errors import DuplicateFieldError
from asyncwds.tar import Grouper, base_plus_ext

# Without line feeds: where a name has one, WebDataset's pattern splits it in another place or not at all.
folders = st.sampled_from(["", "./", "d/", "d.x/", "__m__/", "__"])
suffixes = st.sampled_from(["jpg", "JPG", "a.b", "", "__k__", "y__"])
names = st.one_of(
    st.text(st.sampled_from("ab./_A"), max_size=10),
    st.text(st.characters(exclude_characters="\n", exclude_categories=["Cs"]), max_size=20),
    st.builds("{}{}.{}".format, folders, st.integers(0, 3), suffixes),
)


@given(names)
@settings(max_examples=300, deadline=None)
def test_names_are_split_alike(name):
    assert base_plus_ext(name) == webdataset_base_plus_ext(name)


def grouped_by_webdataset(members, errors, **options):
    files = [{"fname": name, "data": data, "__url__": "u"} for name, data, _ in members]
    return list(group_by_keys(files, handler=lambda error: errors.append(error) or True, **options))


@given(st.lists(names, max_size=12), st.booleans(), st.sampled_from([None, {"jpg", "a.b"}]), st.integers(1, 4))
@settings(max_examples=200, deadline=None)
def test_members_are_grouped_alike(found, lcase, kept, step):
    members = [(name, b"%d" % n, n) for n, name in enumerate(found)]
    grouper = Grouper("u", 0, lcase=lcase, suffixes=kept, skip_meta=False)
    samples, faults, errors = [], 0, []
    for start in range(0, len(members), step):
        samples += grouper.feed(members[start : start + step])
        faults += sum(type(fault) is DuplicateFieldError for _, fault in grouper.faults)
    samples += grouper.finish()
    assert [dict(sample) for sample in samples] == grouped_by_webdataset(members, errors, lcase=lcase, suffixes=kept)
    assert faults == len(errors)


keys = st.text(st.sampled_from("abc/é_"), min_size=1, max_size=8).filter(lambda key: not key.endswith("/"))
samples = st.lists(
    st.tuples(keys, st.dictionaries(st.sampled_from(["a", "b.c", "D"]), st.binary(max_size=600), min_size=1)), max_size=5
)


@given(samples, st.sampled_from([None, 0.0, 1.5]))
@settings(max_examples=30, deadline=None)
def test_shards_written_by_webdataset_are_read_alike(parse, items, mtime):
    buffer = io.BytesIO()
    with TarWriter(buffer, encoder=False, mtime=mtime) as writer:
        for number, (key, values) in enumerate(items):
            writer.write({"__key__": f"{key}{number}", **values})
    shard = buffer.getvalue()
    members, error = parse(shard)
    assert error is None
    grouper = Grouper("u", 0)
    ours = grouper.feed(members) + grouper.finish()
    assert grouper.faults == []
    assert [dict(sample) for sample in ours] == list(group_by_keys(tar_file_expander([{"url": "u", "stream": io.BytesIO(shard)}])))
