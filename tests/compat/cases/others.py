"""Mixes, repeats, caches and tools."""

from functools import partial
from pathlib import Path
from typing import Any

from tests.compat.cases.registry import add
from tests.compat.cases.shards import data_set, one_shard

LISTS = ([1, 2, 3, 4], [10, 20], [100, 200, 300])
for longest in (False, True):
    add(f"RoundRobin longest={longest}", lambda wds, _, longest=longest: wds.RoundRobin([list(m) for m in LISTS], longest=longest))
    for probs in (None, [1, 2, 3], [0.5, 0.1, 0.4]):
        add(
            f"random_samples longest={longest} probs={probs}",
            lambda wds, _, longest=longest, probs=probs: wds.mix.random_samples([iter(m) for m in LISTS], probs, longest),
        )
    robin = "round_robin_longest" if longest else "round_robin_shortest"
    add(robin, lambda wds, _, robin=robin: getattr(wds.mix, robin)(*[iter(m) for m in LISTS]))
for keywords in ({"nepochs": 2}, {"nbatches": 7}, {"nsamples": 9}, {"nepochs": 3, "nbatches": 4}):
    add(f"repeatedly {keywords}", lambda wds, _, keywords=keywords: wds.repeatedly([(range(2), "x"), (range(2), "y")], **keywords))
add("repeatedly0", lambda wds, _: wds.utils.repeatedly0([1, 2, 3], 2, 2))
add("MockDataset", lambda wds, _: wds.MockDataset({"a": 1}, 4))
for url in ("http://h/d/e/a.tar", "s3://b/d/a.tar", "a/b/c.tar", "file:/x/y.tar", "pipe:cat x", "http://h/a.tar?q=1"):
    for ndir in (0, 1):
        add(f"url_to_cache_name {url} {ndir}", lambda wds, _, url=url, ndir=ndir: [wds.cache.url_to_cache_name(url, ndir)])
    add(f"islocal {url}", lambda wds, _, url=url: [wds.cache.islocal(url)])
add("StreamingOpen", lambda wds, folder: [s["stream"].read(3) for s in wds.cache.StreamingOpen()([one_shard(folder)])])
add(
    "StreamingOpen of dicts",
    lambda wds, f: [s["local_path"] for s in wds.cache.StreamingOpen()([{"url": one_shard(f)}])],
)
add(
    "FileCache of a pipe",
    lambda wds, folder: [
        Path(s["local_path"]).read_bytes()
        for s in wds.cache.FileCache(str(folder / "c"), url_to_name=lambda _: "x.tar")(["pipe:cat " + one_shard(folder)])
    ],
)


def cleaned(wds: Any, folder: Path, size: int) -> list[str]:
    for i in range(5):
        (folder / f"f{i}").write_bytes(bytes(100))
    cleanup = wds.LRUCleanup(str(folder), size, keyfn=lambda path: path[-1], interval=None)
    cleanup.cleanup()
    return sorted(path.name for path in folder.iterdir())


for size in (0, 100, 250, 1000):
    add(f"LRUCleanup to {size}", partial(cleaned, size=size))
for args in ((1,), (1, 2, 3), (-5, 70000000)):
    add(f"make_seed {args}", lambda wds, _, args=args: [wds.utils.make_seed(*args)])
for value in ([1], (1,), "text", b"bytes", 5, iter([1]), {"a": 1}):
    add(f"is_iterable {type(value).__name__}", lambda wds, _, value=value: [wds.utils.is_iterable(value)])
for pattern in ("*.tar", "s-{1,3}.tar", "{x,s-4}.tar"):
    add(
        f"glob_with_braces {pattern}",
        lambda wds, f, pattern=pattern: sorted(wds.utils.glob_with_braces(str(Path(data_set(f)).parent / pattern))),
    )
    add(f"fnmatch_with_braces {pattern}", lambda wds, _, pattern=pattern: [wds.utils.fnmatch_with_braces("s-3.tar", pattern)])
for text in ("7", "a-b", "", "len"):
    add(f"safe_eval {text!r}", lambda wds, _, text=text: [repr(wds.utils.safe_eval(text, "[{}]"))])
add("compute_sample_weights", lambda wds, _: [wds.utils.compute_sample_weights([(100, 1.0), (50, 4.0)])])
add("pytorch_worker_info", lambda wds, _: [wds.utils.pytorch_worker_info(), wds.utils.pytorch_worker_seed()])
add(
    "lookup_sym", lambda wds, _: [wds.utils.lookup_sym(name, [".utils", ".filters"]).__name__ for name in ("make_seed", "getfirst")]
)
for name in ("a.tar.gz", "a", "d.e/a"):
    add(f"without_last_extension {name}", lambda wds, _, name=name: [wds.shardlists.without_last_extension(name)])
for name in ("x.tar._123_", "x.tar", "x._y_"):
    add(f"get_pid_from_filename {name}", lambda wds, _, name=name: [wds.shardlists.get_pid_from_filename(name)])
