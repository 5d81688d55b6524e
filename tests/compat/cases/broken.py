"""Archives that are damaged or missing, and handlers."""

import itertools
from pathlib import Path

from tests.compat.cases.registry import add
from tests.compat.cases.shards import shard


def broken(folder: Path, kind: str) -> list[str]:
    urls = [shard(folder / f"{number}.tar", [(f"{number}{i}.txt", b"x" * 600) for i in range(3)]) for number in range(3)]
    middle = Path(urls[1])
    whole = middle.read_bytes()
    changed = {"cut in a payload": whole[:2200], "empty": b"", "garbage": b"garbage " * 200}.get(kind)
    if changed is None:
        middle.unlink()
    else:
        middle.write_bytes(changed)
    return urls


for kind, handler in itertools.product(
    ("cut in a payload", "empty", "garbage", "missing"), ("reraise_exception", "ignore_and_continue", "warn_and_continue")
):
    if kind == "cut in a payload" and handler == "reraise_exception":
        continue  # ours gives the sample before the cut first, as it is whole
    add(
        f"broken shard: {kind}, {handler}",
        lambda wds, folder, kind=kind, handler=handler: (
            sample["__key__"] for sample in wds.WebDataset(broken(folder, kind), shardshuffle=False, handler=getattr(wds, handler))
        ),
    )


def fails_at_11(name: str) -> str:
    if name == "11.txt":
        raise KeyError(name)
    return name


for function, handler in itertools.product(("select_files", "rename_files"), ("reraise_exception", "ignore_and_continue")):
    add(
        f"{function} fails, {handler}",
        lambda wds, folder, function=function, handler=handler: (
            sample["__key__"]
            for sample in wds.WebDataset(
                [*broken(folder, "garbage")[:1], shard(folder / "1.tar", [(f"1{i}.txt", b"x") for i in range(3)])],
                shardshuffle=False,
                handler=getattr(wds, handler),
                **{function: fails_at_11},
            )
        ),
    )
