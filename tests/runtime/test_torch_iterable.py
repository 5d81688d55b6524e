"""torch takes our datasets for its IterableDatasets, whichever is imported first, and is not imported for that."""

import subprocess
import sys

import pytest
import torch  # noqa: F401 - these tests are left out where it is not installed

KINDS = (
    *(
        "DataPipeline",
        "WebDataset",
        "FluidWrapper",
        "WebLoader",
        "RandomMix",
        "RoundRobin",
        "MockDataset",
        "with_epoch",
        "with_length",
    ),
    *("SimpleShardList", "ResampledShards", "MultiShardSample", "DirectoryShardList"),
)
MADE = """
from pathlib import Path
import sys
import asyncwds as wds
from asyncwds.testing import make_samples, make_shard
Path("a.tar").write_bytes(make_shard(make_samples(4)))
class Mine(wds.WebDataset):
    pass
datasets = [wds.WebDataset("a.tar"), wds.WebDataset("a.tar").decode().batched(2), Mine("a.tar").shuffle(2), wds.DataPipeline([[1]])]
datasets += [wds.RandomMix(datasets[:1]), wds.RoundRobin(datasets[:1]), wds.FluidWrapper([1]), wds.MockDataset(1, 2)]
"""


def run(program: str, folder) -> str:
    (folder / "main.py").write_text(program)
    done = subprocess.run([sys.executable, "main.py"], cwd=folder, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_naming_and_making_datasets_imports_no_torch(tmp_path):
    run(MADE + "assert not [name for name in sys.modules if name.partition('.')[0] == 'torch']", tmp_path)


EVERY_MODULE = """
import importlib, pkgutil, sys
import asyncwds
names = [module.name for module in pkgutil.walk_packages(asyncwds.__path__, "asyncwds.")]
for name in names:
    if not name.endswith("__main__") and name != "asyncwds.compat.pytorch":  # which is torch's names
        importlib.import_module(name)
        assert "torch" not in sys.modules, name
print(len(names))
"""


def test_no_module_imports_torch_but_the_one_that_stands_for_it(tmp_path):
    assert int(run(EVERY_MODULE, tmp_path)) > 100


@pytest.mark.parametrize("first", ["", "import torch\n", "import torch.utils.data\n"])
def test_all_kinds_are_iterable_datasets_whichever_is_imported_first(tmp_path, first):
    """And the table of arguments is in what `help` shows."""
    program = f"""{first}{MADE}
from torch.utils.data import IterableDataset
for name in {KINDS}:
    assert issubclass(getattr(wds, name), IterableDataset), name
assert issubclass(Mine, IterableDataset)
for dataset in datasets:
    assert isinstance(dataset, IterableDataset), dataset
assert not issubclass(wds.ShardWriter, IterableDataset)
assert len(list(datasets[0] + datasets[0])) == 8
help(wds.WebDataset)
"""
    assert "shardshuffle    shuffle the shards in a buffer" in run(program, tmp_path)


def test_looking_for_the_module_without_importing_it_changes_nothing(tmp_path):
    program = f"""{MADE}
import importlib.machinery, importlib.util
import torch.utils
finder = sys.meta_path[0]
assert finder.find_spec("torch.utils.data.dataset", None) is None
from torch.utils.data import IterableDataset
assert isinstance(datasets[0], IterableDataset)
"""
    run(program, tmp_path)
