"""As timm's reader takes webdataset apart: shards from an info file, a decoder of its own, places from outside."""

import io
import json
from functools import partial
from itertools import islice
from pathlib import Path

import webdataset as wds
from PIL import Image
from webdataset.filters import _shuffle, getfirst
from webdataset.shardlists import expand_urls
from webdataset.tariterators import tar_file_expander, url_opener


def log_and_continue(exn):
    return True


def info_of(folder):
    """{split: {"filenames": ..., "num_samples": ...}} from the folder's `_info.json`."""
    info = json.loads(Path(folder, "_info.json").read_text())
    return {
        name: {"filenames": expand_urls(split["filenames"]), "num_samples": split["num_samples"]} for name, split in info.items()
    }


def decoded(sample, image_key="jpg;jpeg;png", target_key="cls"):
    """{"jpg": PIL image, "cls": number}, or what is wrong, for the handler."""
    with io.BytesIO(getfirst(sample, image_key)) as stream:
        image = Image.open(stream)
        image.load()
    return {"jpg": image.convert("RGB"), "cls": int(getfirst(sample, target_key)), "json": sample.get("json")}


def only_every(src, first, step):
    return islice(src, first, None, step)


def reader(folder, split, training, rank=0, world=1):
    info = info_of(folder)[split]
    urls = [str(Path(folder, name)) for name in info["filenames"]]
    stages = [wds.SimpleShardList(urls)]
    if training:
        stages.append(partial(_shuffle_shards, seed=11))
    stages += [
        partial(only_every, first=rank, step=world),
        wds.split_by_worker,
        partial(url_opener, handler=log_and_continue),
        partial(tar_file_expander, handler=log_and_continue),
        wds.tariterators.group_by_keys,
        wds.map(decoded, handler=log_and_continue),
        wds.rename(image="jpg", target="cls"),
        wds.to_tuple("image", "target", "__key__"),
    ]
    dataset = wds.DataPipeline(*stages)
    return dataset.with_epoch(info["num_samples"]) if training else dataset


def _shuffle_shards(src, seed):
    import random

    return _shuffle(src, 6, 3, random.Random(seed))


def samples(folder, split, training, rank=0, world=1):
    return [(image.tobytes(), target, key) for image, target, key in reader(folder, split, training, rank, world)]
