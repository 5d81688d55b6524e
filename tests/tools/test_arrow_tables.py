"""Parquet and Arrow, in and out."""

import pyarrow as pa
import pyarrow.parquet
import pytest

import asyncwds as wds
from asyncwds.errors import NotFoundError, SampleError
from asyncwds.testing import make_shard
from asyncwds.tools import Creation, Inputs, Outputs, create_shards, export_samples

ROWS = [
    {
        "uid": f"u{n}",
        "caption": f"text {n}",
        "image": {"bytes": b"\xff\xd8" + bytes(n), "path": "x.jpeg"},
        "n": n,
        "raw": bytes([n, 255]),
    }
    for n in range(5)
]
FIELDS = {"caption.txt", "image.jpeg", "n.cls", "raw.bin"}


def write(path, kind):
    table = pa.Table.from_pylist(ROWS)
    if kind == "parquet":
        pa.parquet.write_table(table, path, row_group_size=2)
    else:
        with (
            pa.OSFile(str(path), "wb") as file,
            (pa.ipc.new_file if kind == "arrow" else pa.ipc.new_stream)(file, table.schema) as out,
        ):
            out.write_table(table, max_chunksize=2)


@pytest.mark.parametrize("kind", ["parquet", "arrow", "stream"])
def test_rows_become_samples(tmp_path, kind):
    path = tmp_path / ("t.parquet" if kind == "parquet" else "t.arrow")
    write(path, kind)
    columns = ["caption", "image", "n", "raw"]
    create_shards(path, Outputs(target=str(tmp_path / "out.tar")), Creation(key_from="col:uid", columns=columns))
    samples = list(wds.WebDataset(str(tmp_path / "out.tar"), shardshuffle=False))
    assert [sample["__key__"] for sample in samples] == [f"u{n}" for n in range(5)]
    assert {name for name in samples[3] if name[0] != "_"} == FIELDS
    assert samples[3]["image.jpeg"] == b"\xff\xd8" + bytes(3)
    assert samples[3]["n.cls"] == b"3"


@pytest.mark.parametrize("name", ["out.parquet", "out.arrow"])
def test_samples_become_rows(tmp_path, name):
    """More than a batch of them, with fields that only some have, and numbers that are whole in some."""
    samples = [{"__key__": f"{n:04}", "json": f'{{"v": {n if n < 1100 else n / 2}}}'.encode(), "bin": b"\xff"} for n in range(1500)]
    samples[1200]["txt"] = b"late"
    (tmp_path / "in.tar").write_bytes(make_shard(samples))
    export_samples(Inputs(urls=[str(tmp_path / "in.tar")]), str(tmp_path / name), flatten=["json"])
    read = pa.parquet.read_table if name.endswith("parquet") else pa.ipc.open_file
    table = read(tmp_path / name) if name.endswith("parquet") else read(pa.OSFile(str(tmp_path / name))).read_all()
    rows = table.to_pylist()
    assert [row["json.v"] for row in rows] == [n if n < 1100 else n / 2 for n in range(1500)]
    assert rows[1200]["txt"] == "late"
    assert rows[0]["bin"] == b"\xff"


def test_values_of_several_types_are_an_error(tmp_path):
    (tmp_path / "in.tar").write_bytes(make_shard([{"__key__": "a", "json": b'{"v": 1}'}, {"__key__": "b", "json": b'{"v": "x"}'}]))
    with pytest.raises(SampleError, match="several types"):
        export_samples(Inputs(urls=[str(tmp_path / "in.tar")]), str(tmp_path / "out.parquet"), flatten=["json"])
    assert not (tmp_path / "out.parquet").exists()


def test_what_is_no_table(tmp_path):
    (tmp_path / "t.parquet").write_bytes(b"nothing")
    outputs = Outputs(target=str(tmp_path / "out.tar"))
    with pytest.raises(SampleError, match="table cannot be read"):
        create_shards(tmp_path / "t.parquet", outputs)
    with pytest.raises(NotFoundError):
        create_shards(tmp_path / "none.parquet", outputs)


@pytest.mark.parametrize(
    ("value", "name", "message"),
    [
        ('{"a": "\\ud800"}', "out.parquet", "none of Arrow's"),
        ('{"a": 18446744073709551616}', "out.arrow", "none of Arrow's"),
        ('{"a": {}}', "out.parquet", "no place for the values"),
    ],
)
def test_json_that_a_table_cannot_have(tmp_path, value, name, message):
    (tmp_path / "a.tar").write_bytes(make_shard([{"__key__": "0", "json": value}]))
    with pytest.raises(SampleError, match=message):
        export_samples(Inputs(urls=[str(tmp_path / "a.tar")]), str(tmp_path / name))
    assert not (tmp_path / name).exists()
