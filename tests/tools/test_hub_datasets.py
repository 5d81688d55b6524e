"""Data sets of Hugging Face as a source."""

import io

import pytest
from PIL import Image
from tqdm import tqdm

import asyncwds as wds
from asyncwds.errors import SpecError
from asyncwds.tools import Creation, Outputs, create_shards

tqdm.monitor_interval = 0  # it is a thread that stays
pytestmark = pytest.mark.needs("datasets")


def test_a_data_set_on_disk(tmp_path):
    import datasets  # 2 s, not in every process of the tests

    with io.BytesIO() as file:
        Image.new("RGB", (4, 4), "red").save(file, "PNG")
        png = file.getvalue()
    columns = {"image": [{"bytes": png, "path": None}] * 3, "label": [0, 1, 0], "caption": ["a", "b", "c"]}
    features = datasets.Features(
        {"image": datasets.Image(), "label": datasets.ClassLabel(names=["x", "y"]), "caption": datasets.Value("string")}
    )
    datasets.Dataset.from_dict(columns, features=features).save_to_disk(str(tmp_path / "data"))
    create_shards(
        tmp_path / "data", Outputs(target=str(tmp_path / "out.tar")), Creation(kind="hf", fields={"png": "image", "cls": "label"})
    )
    samples = list(wds.WebDataset(str(tmp_path / "out.tar"), shardshuffle=False))
    assert [(sample["png"], sample["cls"]) for sample in samples] == [(png, b"0"), (png, b"1"), (png, b"0")]


def test_one_that_is_not_there(tmp_path):
    with pytest.raises(SpecError, match="cannot be read"):
        create_shards(tmp_path / "nothing", Outputs(target=str(tmp_path / "out.tar")), Creation(kind="hf"))
