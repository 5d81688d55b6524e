"""As open_clip's data module takes webdataset apart: shuffled or resampled shards, a grouping of its own, batches, a loader."""

import io
import random

import webdataset as wds
from torch.utils.data import IterableDataset, get_worker_info
from webdataset.filters import _shuffle
from webdataset.tariterators import base_plus_ext, tar_file_expander, url_opener, valid_sample


def go_on(exn):
    return True


def worker_seed(increment=0):
    worker = get_worker_info()
    return (0 if worker is None else worker.id * 100) + increment


def shuffled_alike(src):
    return _shuffle(src, 4, 2, random.Random(1))


class detshuffle2(wds.PipelineStage):  # noqa: N801 - theirs
    """The shards in an order that an epoch has, alike on every worker."""

    def __init__(self, bufsize=1000, initial=100, seed=0, epoch=-1):
        self.bufsize, self.initial, self.seed, self.epoch = bufsize, initial, seed, epoch

    def run(self, src):
        self.epoch += 1
        return _shuffle(src, self.bufsize, self.initial, random.Random(self.seed + self.epoch))


class ResampledShards2(IterableDataset):
    """Draws with replacement, without end, by a seed for each worker."""

    def __init__(self, urls, nshards, seed):
        super().__init__()
        self.urls = wds.shardlists.expand_urls(urls)
        self.nshards, self.seed = nshards, seed

    def __iter__(self):
        rng = random.Random(worker_seed(self.seed))
        for _ in range(self.nshards):
            yield {"url": rng.choice(self.urls)}


def group_by_keys_nothrow(data, keys=base_plus_ext, lcase=True, suffixes=None, handler=None):
    """One sample for each run of files with a key; a field that comes twice begins another sample instead of an error."""
    current = None
    for file in data:
        fname, value = file["fname"], file["data"]
        prefix, suffix = keys(fname)
        if prefix is None:
            continue
        suffix = suffix.lower() if lcase else suffix
        if current is None or prefix != current["__key__"] or suffix in current:
            if valid_sample(current):
                yield current
            current = {"__key__": prefix, "__url__": file["__url__"]}
        if suffixes is None or suffix in suffixes:
            current[suffix] = value
    if valid_sample(current):
        yield current


def tarfile_to_samples_nothrow(src, handler=go_on):
    streams = url_opener(src, handler=handler)
    files = tar_file_expander(streams, handler=handler)
    return group_by_keys_nothrow(files, handler=handler)


def has_caption_and_image(sample):
    return "txt" in sample and ("png" in sample or "jpg" in sample)


def size_of(image):
    return image.size, image.mode, image.tobytes()


def pipeline(urls, resampled, workers, unseeded=False):
    if resampled:
        shards = [ResampledShards2(urls, 4, seed=3)]
    else:
        shards = [
            wds.SimpleShardList(urls),
            detshuffle2(bufsize=10, initial=3, seed=7),
            wds.split_by_node,
            wds.split_by_worker,
        ]
    return wds.DataPipeline(
        *shards,
        tarfile_to_samples_nothrow,
        wds.shuffle(bufsize=4, initial=2) if unseeded else shuffled_alike,
        wds.select(has_caption_and_image),
        wds.decode("pilrgb", handler=go_on),
        wds.rename(image="jpg;png", text="txt"),
        wds.map_dict(image=size_of, text=str.upper),
        wds.to_tuple("image", "text"),
        wds.batched(3, partial=bool(workers)),
    )


def batches(urls, resampled=False, workers=0):
    """Two epochs of five batches."""
    dataset = pipeline(urls, resampled, workers).with_epoch(5)
    loader = wds.WebLoader(dataset, batch_size=None, shuffle=False, num_workers=workers, persistent_workers=workers > 0)
    loader.num_batches = 5
    return [[list(map(list, batch)) for batch in loader] for _ in range(2)]


def samples_by_bytes(data):
    """Without shards: an archive in memory, unpacked and grouped."""
    files = wds.tariterators.tar_file_expander([{"url": "memory", "stream": io.BytesIO(data)}])
    return list(group_by_keys_nothrow(files))
