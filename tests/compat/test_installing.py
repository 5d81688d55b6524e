"""`install`: what `import webdataset` finds, and that all of it is taken back."""

import importlib
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import webdataset as published

import asyncwds
import asyncwds.compat
from asyncwds.runtime import secure_mode, weights_only


def registered() -> dict[str, object]:
    return {name: module for name, module in sys.modules.items() if name.partition(".")[0] == "webdataset"}


def test_imports_of_every_kind_find_asyncwds(installed):
    import webdataset as wds
    import webdataset.gopen
    from webdataset import filters, gopen, tariterators
    from webdataset.filters import _shuffle
    from webdataset.gopen import gopen_schemes

    assert wds.WebDataset is asyncwds.WebDataset
    assert wds.filters is filters is importlib.import_module("asyncwds.compat.filters")
    assert list(_shuffle(iter(range(5)), 3, seed=1)) == list(asyncwds.shuffle(3, seed=1)(range(5)))
    assert tariterators.url_opener is asyncwds.url_opener
    assert wds.gopen is gopen is webdataset.gopen is asyncwds.gopen
    assert gopen_schemes is asyncwds.gopen_schemes
    assert wds.__version__ == published.__version__
    assert importlib.util.find_spec("webdataset") is not None
    assert "WebDataset" in dir(wds)


def test_what_is_not_there_is_an_error(installed):
    import webdataset as wds

    assert not hasattr(wds, "nothing_of_that_name")
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("webdataset.nothing_of_that_name")


def test_uninstalling_brings_back_what_was_imported():
    before = registered()
    asyncwds.compat.install()
    asyncwds.compat.install()
    assert sys.modules["webdataset"] is not published
    assert not set(before.values()) & set(registered().values())
    asyncwds.compat.uninstall()
    assert registered() == before
    asyncwds.compat.uninstall()
    assert registered() == before


def test_uninstalling_leaves_nothing_where_nothing_was(without_webdataset):
    asyncwds.compat.install()
    assert set(registered()) == {"webdataset", *(f"webdataset.{name}" for name in asyncwds.compat.MODULES)}
    asyncwds.compat.uninstall()
    assert registered() == {}


def test_importing_asyncwds_imports_none_of_it():
    code = "import sys, asyncwds; asyncwds.WebDataset; print([name for name in sys.modules if name.startswith('asyncwds.compat')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_secure_mode_is_a_flag(flags, tmp_path):
    from asyncwds.compat import cache, utils

    assert utils.enforce_security is False
    utils.enforce_security = True
    assert utils.enforce_security is True
    assert secure_mode()
    with pytest.raises(asyncwds.errors.DecodeError, match="Unpickling is not allowed"):
        asyncwds.autodecode.unpickle_loads(b"")
    (tmp_path / "a.tar").touch()
    with pytest.raises(asyncwds.errors.SpecError, match="local files"):
        list(cache.StreamingOpen()([str(tmp_path / "a.tar")]))
    utils.enforce_security = False
    assert not secure_mode()


def test_pickles_hold_plain_data_by_default(installed, monkeypatch, capsys):
    import webdataset as wds
    from webdataset import autodecode

    monkeypatch.delenv("WDS_ALLOW_PICKLE", raising=False)
    plain, code = pickle.dumps({"a": [1, 2.5]}), b"cbuiltins\nprint\n(Vrun\ntR."
    assert autodecode.unpickle_loads(plain) == autodecode.Decoder([])({"x.pyd": plain})["x.pyd"] == {"a": [1, 2.5]}
    stages = [wds.decode(), wds.xdecode(), lambda source: list(map(autodecode.Decoder([]), source))]
    for stage in stages:
        with pytest.raises(asyncwds.errors.DecodeError, match=r"builtins\.print.*WDS_ALLOW_PICKLE=1"):
            list(stage(iter([{"pyd": code}])))
    assert capsys.readouterr().out == ""
    monkeypatch.setenv("WDS_ALLOW_PICKLE", "1")
    for stage in stages:
        list(stage(iter([{"pyd": code}])))
    assert capsys.readouterr().out == "run\n" * 3


def test_weights_only_is_a_flag_here_and_at_the_top(flags, installed):
    import webdataset as wds
    from webdataset import autodecode

    assert autodecode.pytorch_weights_only is wds.pytorch_weights_only is True
    autodecode.pytorch_weights_only = False
    assert wds.pytorch_weights_only is weights_only() is False
    wds.pytorch_weights_only = True
    assert autodecode.pytorch_weights_only is asyncwds.pytorch_weights_only is True
    asyncwds.pytorch_weights_only = False
    assert not weights_only()


def test_trace_says_how_files_are_grouped(monkeypatch, capsys):
    from asyncwds.compat import tariterators

    files = [{"fname": "a.x", "data": b"", "__url__": "u"}, {"fname": "a.y", "data": b"", "__url__": "u"}]
    monkeypatch.setattr(tariterators, "trace", True)
    assert len(list(tariterators.group_by_keys(files))) == 1
    assert capsys.readouterr().out == "a x\na y\n"


def test_meta_files_may_be_called_otherwise(monkeypatch, tmp_path):
    from asyncwds.compat import tariterators

    path = tmp_path / "a.tar"
    path.write_bytes(asyncwds.testing.make_shard([{"__key__": "==x", "a==": b"1"}, {"__key__": "y", "a": b"2"}]))

    def names() -> list[str]:
        return [file["fname"] for file in tariterators.tar_file_expander(tariterators.url_opener([str(path)]))]

    assert names() == ["==x.a==", "y.a"]
    monkeypatch.setattr(tariterators, "meta_prefix", "==")
    monkeypatch.setattr(tariterators, "meta_suffix", "==")
    assert names() == ["y.a"]


def opened_by(log: list[str], path: str):
    def opener(url: str, mode: str = "rb", bufsize: int = 8192, **_: object):
        log.append(url)
        return Path(path).open("rb")

    return opener


def test_a_scheme_of_ones_own_is_read_by_datasets(installed, shards, monkeypatch):
    from webdataset.gopen import gopen_schemes

    log: list[str] = []
    monkeypatch.setitem(gopen_schemes, "mine", opened_by(log, shards.replace("{000..005}", "000")))
    dataset = asyncwds.WebDataset("mine://x/a.tar", shardshuffle=False)
    assert len(list(dataset)) == 5
    assert log == ["mine://x/a.tar"]


def test_setting_gopen_curl_opens_what_curl_opens(installed, shards):
    module = sys.modules["webdataset.gopen"]
    before, schemes = module.gopen_curl, dict(module.gopen_schemes)
    log: list[str] = []
    module.gopen_curl = opened_by(log, shards.replace("{000..005}", "000"))
    try:
        assert len(list(asyncwds.WebDataset("https://x/a.tar", shardshuffle=False))) == 5
        assert log == ["https://x/a.tar"]
        assert module.gopen_schemes["scp"] is module.gopen_curl
    finally:
        module.gopen_curl = before
    assert module.gopen_schemes == schemes


@pytest.mark.parametrize("stage", ["WebDataset", "tarfile_to_samples", "url_opener", "StreamingOpen"])
def test_setting_gopen_opens_all(installed, shards, stage):
    """It may go on to the one that was there; local files are opened by that but for `url_opener`, as in WebDataset."""
    module = sys.modules["webdataset.gopen"]
    before, schemes = module.gopen, dict(module.gopen_schemes)
    local = asyncwds.expand_urls(shards)[0]
    log: list[str] = []

    def opened(url: str, mode: str = "rb", bufsize: int = 8192, **kw: Any) -> Any:
        log.append(url)
        return before(url.replace("mine://h", f"pipe:cat {Path(local).parent}"), mode, bufsize, **kw)

    mine, piped = "mine://h/train-000.tar", f"pipe:cat {local}"
    module.gopen = opened
    try:
        urls = [mine, piped, local]
        if stage == "WebDataset":
            dataset = asyncwds.WebDataset(urls, shardshuffle=False)
        elif stage == "tarfile_to_samples":
            dataset = asyncwds.DataPipeline([urls], asyncwds.tarfile_to_samples())
        else:
            opener = asyncwds.url_opener if stage == "url_opener" else asyncwds.cache.StreamingOpen()
            dataset = asyncwds.DataPipeline([urls], opener, asyncwds.tar_file_expander, asyncwds.group_by_keys)
        assert len(list(dataset)) == 15
        assert sorted(log) == sorted([mine, piped, local] if stage == "url_opener" else [mine, piped])
        assert module.gopen is opened
    finally:
        module.gopen = before
    assert module.gopen is before
    assert module.gopen_schemes == schemes


def test_setting_an_opener_for_a_scheme_that_has_none(installed):
    module = sys.modules["webdataset.gopen"]
    before = module.gopen_htgs
    module.gopen_htgs = before.__class__
    assert module.gopen_schemes["htgs"] is before.__class__
    module.gopen_htgs = before
    assert "htgs" not in module.gopen_schemes
