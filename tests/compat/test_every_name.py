"""Every name of the published wheel's modules is in ours, and is called alike. What differs stands here, with the reason."""

import inspect
from importlib import import_module
from types import ModuleType
from typing import Any

import pytest
import webdataset

import asyncwds
import asyncwds.compat

MODULES = [name for name in asyncwds.compat.MODULES if name != "multi"]  # it cannot be imported without zmq; see below

# The stages' own parameters, and what stands first in functions that nobody calls by keyword: only the names differ.
BY_POSITION = {
    **dict.fromkeys(("cache.reraise_exception", "compat.reraise_exception", "filters.reraise_exception"), "exn is error"),
    **dict.fromkeys([f"handlers.{name}" for name in import_module("asyncwds.compat.handlers").__all__], "exn is error"),
    "tariterators.reraise_exception": "exn is error",
    "filters._extract_keys": "*patterns is *patterns_",
    **dict.fromkeys(("filters.compose", "filters.map_tuple", "filters.pipeline"), "*args is *functions"),
    **dict.fromkeys(("filters.to_tuple", "filters.rename_keys", "filters.xdecode"), "*args is *fields and the like"),
    **dict.fromkeys(("filters.map_dict", "filters.rename"), "**kw is **functions, **fields"),
    **dict.fromkeys(("filters.dict2tuple", "filters.tuple2dict"), "one argument"),
    **dict.fromkeys(("filters.identity", "utils.identity"), "one argument"),
    **dict.fromkeys(("filters.getfirst", "filters.pick"), "what they look into comes first"),
    "shardlists.envsubst": "one argument",
    "utils.make_seed": "*args is *parts",
    "compat.WebLoader": "**kw is **options",
    "gopen.gopen_error": "url, *args, **kw is url, *_, **__",
}
OTHERWISE = {
    "autodecode.Decoder": "the handlers may be left out, `decoders`, `max_unpacked` and `pickle` are added",
    "autodecode.DecodingError": "it is a WdsError: the message comes first, where it happened by keyword",
    "autodecode.ImageHandler": "its default extensions are those that Pillow decodes, as a set",
    "autodecode.imagehandler": "as above",
    "cache.FileCache": "copies have names that no two urls share (url_to_cache_name gives equal ones)",
    "compat.WebDataset": "url_to_name=None is names that no two urls share; prefetch, retry, http, cache, fetcher are added",
    "compat.DataPipeline": "its only keyword is seed; any others were accepted and ignored",
    "pipeline.DataPipeline": "as above",
    "compat.tar_file_expander": "no bare {} at the end of an archive, on which other people's grouping dies; eof_value={} gives it",
    "tariterators.tar_file_expander": "as above",
    "extradatasets.repeatedly": "the class cannot be iterated; the function of the same name stands in for it",
    "filters._xdecode": "the default decoders are a tuple",
    "filters.xdecode": "as above",
    "filters.associate": "its **kw were ignored; handler is added",
    "filters.decode": "what stood in **kw has names",
    "filters.LMDBCached": "pickler=None is pickle, without what could run code",
    "filters.info": "stream=None is the standard error of the time when it writes, and handler is added",
    "filters.slice": "itertools.islice has no signature",
    "gopen.Pipe": "the mode, which was None by default and then an error, has to be given",
    "gopen.gopen_hf": "no function of its own opens hf: or htgs: urls; what stands here is what opens unknown schemes",
    "gopen.gopen_htgs": "as above",
    "shardlists.MSSource": "plain data of our own; made from specs only",
    "utils.repeatedly0": "without limit is None, not sys.maxsize",
    "writer.ShardWriter": "manifest, http and retry are added",
    "utils.ObsoleteException": "exceptions have no signature",
}
NOT_MODULE_NAMES = {  # imported by several of its modules, at home in one
    *("obsolete", "is_iterable", "pipelinefilter"),
    *("DataLoader", "IterableDataset", "TorchTensor"),
}


def public_names(module: ModuleType) -> list[str]:
    names = []
    for name, value in vars(module).items():
        home = getattr(value, "__module__", None)
        foreign = isinstance(value, ModuleType) or (home is not None and not str(home).startswith("webdataset"))
        if name.startswith("__") or (name.startswith("_") and module.__name__ != "webdataset.filters"):
            continue
        if (foreign and type(value).__name__ != "RestCurried") or (name in NOT_MODULE_NAMES and home != module.__name__):
            continue
        names.append(name)
    return sorted(names)


NAMES = [f"{module}.{name}" for module in MODULES for name in public_names(import_module(f"webdataset.{module}"))]


def both(name: str) -> tuple[Any, Any]:
    module, _, attribute = name.partition(".")
    theirs, ours = import_module(f"webdataset.{module}"), import_module(f"asyncwds.compat.{module}")
    return getattr(theirs, attribute), getattr(ours, attribute)


def parameters(function: Any) -> list[tuple[str, Any, Any]]:
    def shown(default: Any) -> Any:
        return getattr(default, "__name__", default)

    return [(p.name, p.kind, shown(p.default)) for p in inspect.signature(function).parameters.values()]


@pytest.mark.parametrize("name", NAMES)
def test_it_is_there(name):
    theirs, ours = both(name)
    assert callable(theirs) == callable(ours)


@pytest.mark.parametrize("name", [name for name in NAMES if name not in OTHERWISE and callable(both(name)[0])])
def test_it_is_called_alike(name):
    theirs, ours = map(parameters, both(name))
    if type(both(name)[0]).__name__ == "RestCurried":
        theirs = theirs[1:]  # the data; what is given first are the arguments
    added = ours[len(theirs) :]
    if name in BY_POSITION:
        theirs, ours = [
            [(kind, default) for _, kind, default in side if kind != inspect.Parameter.KEYWORD_ONLY] for side in (theirs, ours)
        ]
        assert ours[: len(theirs)] == theirs
    else:
        assert ours[: len(theirs)] == theirs
    assert all(default is not inspect.Parameter.empty or kind == inspect.Parameter.VAR_KEYWORD for _, kind, default in added)


@pytest.mark.parametrize("name", [*BY_POSITION, *OTHERWISE])
def test_every_difference_is_one(name):
    theirs, ours = both(name)
    if name in {"filters.slice", "utils.ObsoleteException"}:
        with pytest.raises(ValueError, match="no signature"):
            parameters(theirs)
    else:
        assert parameters(theirs) != parameters(ours)


@pytest.mark.parametrize("name", sorted(name for name in vars(webdataset) if not name.startswith("_")))
def test_the_top_level_has_it(installed, name):
    import webdataset as ours

    assert ours is not webdataset
    assert getattr(ours, name) is not None


@pytest.mark.parametrize("module", asyncwds.compat.MODULES)
def test_each_module_says_what_it_has(module):
    ours = import_module(f"asyncwds.compat.{module}")
    for name in ours.__all__:
        assert hasattr(ours, name), name


def test_multi_has_the_loader():
    parameters_ = list(inspect.signature(import_module("asyncwds.compat.multi").MultiLoader).parameters)
    assert parameters_[:5] == ["dataset", "workers", "verbose", "nokill", "prefix"]


@pytest.mark.parametrize("module", [name for name in asyncwds.compat.MODULES if name not in {"gopen", "multi"}])
def test_modules_are_reached_from_asyncwds_itself(module):
    reached, whole = getattr(asyncwds, module), import_module(f"asyncwds.compat.{module}")
    assert [name for name in whole.__all__ if getattr(reached, name) is not getattr(whole, name)] == []
    assert not hasattr(reached, "nothing_of_that_name")


@pytest.mark.parametrize("name", sorted(name for name in vars(webdataset) if not name.startswith("_")))
def test_the_top_level_of_asyncwds_has_it_too(name):
    assert isinstance(getattr(webdataset, name), ModuleType) == isinstance(getattr(asyncwds, name), ModuleType)


@pytest.mark.parametrize("kind", ["WebDataset", "DataPipeline", "WebLoader", "FluidWrapper", "MultiShardSample", "ShardWriter"])
def test_classes_have_the_members(kind):
    theirs, ours = getattr(webdataset, kind), getattr(asyncwds, kind)
    assert {name for name in dir(theirs) if not name.startswith("_") and not hasattr(ours, name)} == set()
