"""Which files make a sample."""

from tests.compat.cases.registry import add
from tests.compat.cases.shards import shard

LAYOUTS: dict[str, list[tuple[str, bytes]]] = {
    "two parts of a name": [("a.b.jpg", b"1"), ("a.cls", b"2")],
    "a folder with a dot": [("d.x/a.jpg", b"1"), ("d.x/a.cls", b"2")],
    "a leading ./": [("./a.jpg", b"1"), ("./a.cls", b"2")],
    "an empty suffix": [("a.", b"1"), ("a.cls", b"2")],
    "no dot": [("README", b"1"), ("a.cls", b"2")],
    "hidden": [(".hidden.txt", b"1"), ("a.cls", b"2")],
    "hidden in a folder": [("d/.hidden.txt", b"1"), ("d/a.cls", b"2")],
    "upper case": [("A.JPG", b"1"), ("A.cls", b"2"), ("a.jpg", b"3")],
    "interleaved": [("a.x", b"1"), ("b.x", b"2"), ("a.y", b"3")],
    "meta files": [("__meta__", b"0"), ("__x__/a.jpg", b"0"), ("a.cls", b"2")],
    "meta names that are not": [("__x__.json", b"1"), ("d/__x__/a.jpg", b"2")],
    "fields like metadata": [("a.__k__", b"1"), ("a.cls", b"2")],
    "a bad sample": [("a.__bad__", b"1"), ("a.cls", b"2"), ("b.cls", b"3")],
    "empty files": [("a.txt", b""), ("a.cls", b"")],
    "twice": [("a.txt", b"1"), ("a.txt", b"2"), ("b.txt", b"3")],
    "twice in two cases": [("a.jpg", b"1"), ("a.JPG", b"2"), ("b.txt", b"3")],
    "folders": [("x/a.txt", b"1"), ("y/a.txt", b"2")],
    "long names": [("f" * 90 + "/" + "a" * 60 + ".txt", b"1")],
    "umlauts": [("ä/ö.txt", b"1")],
    "no files": [],
}
for name, files in LAYOUTS.items():
    for handler in ("reraise_exception", "ignore_and_continue", "ignore_and_stop"):
        if (handler != "reraise_exception" and "twice" not in name) or ("twice" in name and handler == "ignore_and_stop"):
            continue  # stopping, ours ends before the sample that is wrong, the published one behind it
        add(
            f"grouping: {name}, {handler}",
            lambda wds, folder, files=files, handler=handler: wds.WebDataset(
                shard(folder / "a.tar", files), shardshuffle=False, handler=getattr(wds, handler), empty_check=False
            ),
        )
    if "twice" not in name:
        add(
            f"grouping: {name}, stage by stage",
            lambda wds, folder, files=files: wds.tariterators.group_by_keys(
                wds.tariterators.tar_file_expander(wds.tariterators.url_opener([{"url": shard(folder / "a.tar", files)}]))
            ),
        )
    add(f"base_plus_ext: {name}", lambda wds, _, files=files: [wds.tariterators.base_plus_ext(path) for path, _ in files])
for keywords in ({"lcase": False}, {"suffixes": {"jpg"}}, {"keys": lambda name: (name[0], name[2:])}):
    add(
        f"group_by_keys {list(keywords)}",
        lambda wds, _, keywords=keywords: wds.tariterators.group_by_keys(
            [{"fname": n, "data": d, "__url__": "u"} for n, d in [("a.JPG", b"1"), ("a.cls", b"2"), ("b.jpg", b"3")]], **keywords
        ),
    )
add("equal keys in two shards", lambda wds, f: wds.WebDataset([shard(f / n, [("a.x", b"1")]) for n in "pq"], shardshuffle=False))
for value in ({}, None, 5, {"a": 1}, {"__bad__": True, "a": 1}, {"__bad__": False}):
    add(f"valid_sample {value}", lambda wds, _, value=value: [bool(wds.tariterators.valid_sample(value))])
