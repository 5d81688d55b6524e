"""`asyncwds index`, as a user runs it."""

import io
import json

import pytest
from click.testing import CliRunner
from command_line import run_asyncwds
from PIL import Image

from asyncwds import load_index
from asyncwds.cli import main
from asyncwds.testing import FaultServer, make_samples, make_shard


@pytest.fixture
def folder(tmp_path):
    for number in range(2):
        (tmp_path / f"s{number}.tar").write_bytes(make_shard(make_samples(3, prefix=f"{number}-", seed=number)))
    return tmp_path


def index(*arguments, folder):
    done = run_asyncwds("index", *arguments, cwd=folder)
    assert done.stderr == "" or done.returncode
    return done


def test_indexes_beside_shards_in_one_file_and_in_a_folder(folder):
    assert index("s{0,1}.tar", folder=folder).stdout == "6 samples in 2 shards\n2 files\n"
    assert (folder / "s1.tar.wdsindex").exists()
    assert index("s{0,1}.tar", "-o", "all.wdsindex", folder=folder).stdout == "6 samples in 2 shards\nall.wdsindex\n"
    assert len(load_index(folder / "all.wdsindex")) == 6
    index("s{0,1}.tar", "-o", "kept/", folder=folder)
    assert len(load_index(folder / "kept")) == 6
    index("s{0,1}.tar", "--cache", "cache", folder=folder)
    assert len(load_index(folder / "cache/.asyncwds-indexes")) == 6


def test_other_formats_of_shards_elsewhere_and_of_indexes(folder):
    with FaultServer(folder) as server:
        assert index(server.url("s0.tar"), "-f", "wids", "-o", "list.json", folder=folder).returncode == 0
        assert load_index(folder / "list.json").shards[0].url == server.url("s0.tar")
    index("s{0,1}.tar", "-f", "energon", folder=folder)
    assert index("--convert", ".nv-meta/index.sqlite", "-f", "wds2idx", folder=folder).returncode == 0
    assert (folder / "s1.idx").read_text().startswith("v1.2 3\n")


def test_several_formats_at_once(folder):
    """`asyncwds index … --format wds2idx,wids,energon,sizes` makes a data set ready for others."""
    assert index("s{0,1}.tar", "--format", "wds2idx,wids,energon,sizes", folder=folder).returncode == 0
    made = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert made >= {"s0.idx", "s1.idx", "sizes.json", "s0.tar.idx", ".nv-meta/index.sqlite"}
    assert {name for name in made if name.endswith(".json")} - {"sizes.json"}
    assert index("s0.tar", "-f", "wids,sizes", "-o", "one.json", folder=folder).returncode == 1
    assert index("s0.tar", "-f", "wids,other", folder=folder).returncode == 1
    assert index("s0.tar", "-f", "sizes", "--hash", folder=folder).returncode == 1
    assert index("s{0,1}.tar", "-f", "hfutils,len", "--hash", folder=folder).returncode == 0
    assert '"sha256"' in (folder / "s1.json").read_text()


def test_images_are_measured(folder):
    with io.BytesIO() as file:
        Image.new("RGB", (8, 6)).save(file, "PNG")
        image = file.getvalue()
    samples = [{"__key__": "long/" * 30 + "a", "cls": b"1", "png": image}, {"__key__": "b", "jpg": b"none", "txt": b"x"}]
    (folder / "i.tar").write_bytes(make_shard(samples))
    done = CliRunner().invoke(main, ["index", f"{folder}/i.tar", "-f", "webshart", "--media"])
    assert done.stderr == "asyncwds: 1 image could not be opened, and have no width and height\n"
    files = json.loads((folder / "i.json").read_text())["files"]
    sizes = {name[-5:]: (entry.get("width"), entry.get("height"), entry.get("aspect")) for name, entry in files.items()}
    assert sizes == {"a.cls": (None,) * 3, "a.png": (8, 6, 8 / 6), "b.jpg": (None,) * 3, "b.txt": (None,) * 3}
    assert CliRunner().invoke(main, ["index", f"{folder}/i.tar", "--media"]).exit_code == 1


def test_what_would_be_written(folder):
    before = sorted(folder.iterdir())
    done = CliRunner().invoke(main, ["index", f"{folder}/s0.tar", "-f", "wds2idx,hfutils", "--hash", "--dry-run"])
    files = [f"{folder}/s0.idx", f"{folder}/s0.json"]
    assert done.output == "".join(["3 samples in 1 shard\n", *[f"would be written: {file}\n" for file in files]])
    assert sorted(folder.iterdir()) == before
    done = CliRunner().invoke(main, ["index", f"{folder}/s0.tar", "-f", "wds2idx,hfutils", "--json"])
    assert json.loads(done.output) == {"samples": 3, "shards": 1, "files": files}


def test_what_cannot_be_written_is_one_line(folder):
    done = index("s0.tar", "-f", "wds2idx", "-o", "one.idx", folder=folder)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "with a slash" in done.stderr
