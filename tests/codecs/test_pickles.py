"""Pickles of plain data come back equal; those that would run code, or write to memory or to classes, are refused."""

from __future__ import annotations

import collections
import copyreg
import datetime as dt
import decimal
import fractions
import functools
import io
import ipaddress
import operator
import os
import pathlib
import pickle
import subprocess
import sys
import types
import uuid
import zoneinfo
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import asyncwds as wds
from asyncwds import Decoder, Sample
from asyncwds.codecs import rebuilding
from asyncwds.codecs.pickles import is_plain, unpickle
from asyncwds.errors import DecodeError, SpecError

UTC = dt.UTC
PROTOCOLS = pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))


@pytest.fixture(autouse=True)
def not_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WDS_ALLOW_PICKLE", raising=False)
    monkeypatch.delenv("WDS_SECURE", raising=False)


# -- what comes back

PLAIN = [
    *(None, True, -5, 2**70, 1.5, 1j, "é" * 300, b"", b"x" * 300, bytearray(b"abc"), "a\x00b", "😀" * 100),
    *([1, [2]], {"a": {1: 2}}, (), (1,), (1, 2, 3, 4), {1, 2}, frozenset([1]), range(3), slice(1, 2), list(range(5000))),
    *(int, float, list, type(None), ..., NotImplemented),
    *(collections.OrderedDict(a=1), collections.Counter("aab"), collections.defaultdict(list, {1: [2]})),
    *(collections.deque([1, 2], 5), collections.deque([1])),
    *(dt.datetime.fromisoformat("2024-05-01T02:03:04.000005"), dt.datetime(2024, 5, 1, tzinfo=UTC), dt.date(2024, 5, 1)),
    *(dt.time(1, 2, tzinfo=UTC), dt.timedelta(1, 2, 3), zoneinfo.ZoneInfo("UTC")),
    *(decimal.Decimal("1.5"), fractions.Fraction(3, -4), uuid.UUID(int=77), types.SimpleNamespace(a=1)),
    *(pathlib.Path("/a/b"), pathlib.PurePosixPath("x"), ipaddress.ip_address("1.2.3.4"), ipaddress.ip_network("10.0.0.0/8")),
    Sample({"__key__": "k", "txt": "x"}),
]


@PROTOCOLS
@pytest.mark.parametrize("value", PLAIN, ids=lambda value: repr(value)[:40])
def test_plain_data_come_back(value: Any, protocol: int) -> None:
    if isinstance(value, Sample) and protocol < 2:
        return  # which cannot be written so
    found = unpickle(pickle.dumps([value, value], protocol))
    assert found == [value, value]
    assert type(found[0]) is type(value)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary() | st.datetimes(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner, inner),
    )
)
def test_whatever_is_made_of_plain_data_comes_back(value: Any) -> None:
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        assert unpickle(pickle.dumps(value, protocol)) == value


ARRAYS = [
    *(np.arange(3.0), np.zeros((2, 3), ">i2"), np.array(["ab", "c"]), np.array([b"a"]), np.zeros(0), np.zeros((0, 3)), np.array(3)),
    *(np.asfortranarray(np.arange(6).reshape(2, 3)), np.arange(24).reshape(2, 3, 4).transpose(2, 0, 1), np.arange(10)[::2]),
    *(np.array([1, "a", None], object), np.array([True]), np.ones(2, "c16"), np.ones(2, "f2"), np.ones(2, "longdouble")),
    *(np.array(["2020-01-01"], "M8[s]"), np.array([5], "m8[25ns]"), np.zeros(2, "V4")),
    *([np.array(["NaT"], "M8")] if np.lib.NumpyVersion(np.__version__) < "2.5.0" else []),  # which deprecates times without a unit
    *(np.zeros(2, [("a", "f4"), ("b", "O")]), np.zeros(2, np.dtype([("a", "i1"), ("b", "f8")], align=True))),
    *(np.zeros(2, [("x", "f4", (2,))]), np.zeros(2, [("x", [("y", "i1"), ("z", "U3")])])),
]


@PROTOCOLS
@pytest.mark.parametrize("array", ARRAYS, ids=lambda array: f"{array.dtype}{array.shape}")
def test_arrays_come_back(array: Any, protocol: int) -> None:
    data = pickle.dumps([array, array.dtype, array], protocol)
    found, expected = unpickle(data), pickle.loads(data)
    assert (found[0].dtype, found[0].shape, found[1]) == (expected[0].dtype, expected[0].shape, expected[1])
    assert repr(found[0].tolist()) == repr(expected[0].tolist())
    assert found[0] is found[2]
    assert (found[0].flags.f_contiguous, found[0].flags.writeable) == (expected[0].flags.f_contiguous, expected[0].flags.writeable)


@PROTOCOLS
@pytest.mark.parametrize(
    "number",
    [
        np.float32(1.5),
        np.int64(3),
        np.bool_(True),
        np.str_("ab"),
        np.str_(""),
        np.bytes_(b"x"),
        np.datetime64("2020", "s"),
        1j * np.ones(1)[0],
    ],
    ids=repr,
)
def test_numbers_of_numpy_come_back(number: Any, protocol: int) -> None:
    found = unpickle(pickle.dumps({"a": number, "type": type(number)}, protocol))
    assert found == {"a": number, "type": type(number)}
    assert type(found["a"]) is type(number)


@pytest.mark.needs("torch")
@pytest.mark.parametrize("protocol", [2, 4, pickle.HIGHEST_PROTOCOL])
def test_tensors_come_back(protocol: int) -> None:
    import torch

    values = [torch.arange(6).reshape(2, 3).t(), torch.ones(3).bfloat16(), torch.zeros(0), torch.tensor(True), torch.arange(9)[3:5]]
    for tensor in [*values, torch.full((2,), 1 + 2j).conj()]:
        found = unpickle(pickle.dumps([tensor, tensor.dtype, tensor.shape, tensor.device], protocol))
        assert torch.equal(found[0], tensor)
        assert (found[0].stride(), found[1:]) == (tensor.stride(), [tensor.dtype, tensor.shape, tensor.device])
    parameter = unpickle(pickle.dumps(torch.nn.Parameter(torch.ones(2)), protocol))
    assert isinstance(parameter, torch.nn.Parameter)
    assert parameter.requires_grad


# -- the reader's own classes


class Colour(Enum):
    RED = 1


class Point(NamedTuple):
    x: int


@dataclass
class Box:
    value: Any
    more: list[int] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Slotted:
    value: int


class Words(list[str]):
    pass


@PROTOCOLS
@pytest.mark.parametrize("value", [Colour.RED, Point(1), Box({"a": Box(2)}), Slotted(1), Words(["a"])], ids=repr)
def test_classes_are_admitted_by_name(value: Any, protocol: int) -> None:
    data = pickle.dumps({"a": value}, protocol)
    if isinstance(value, Slotted) and protocol < 2:
        return  # which cannot be written so
    found = Decoder(pickle=[type(value)])({"pyd": data})["pyd"]
    assert found == {"a": value}
    assert type(found["a"]) is type(value)
    with pytest.raises(
        DecodeError, match=rf"{type(value).__qualname__}.*decode\(pickle=\[.*pickle=\"any\"\), or WDS_ALLOW_PICKLE=1"
    ):
        Decoder()({"pyd": data})
    with pytest.raises(DecodeError, match=type(value).__qualname__):
        Decoder(pickle=[Sample])({"pyd": data})


def test_ways_to_allow_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    samples = [{"__key__": "k", name: pickle.dumps(Box(1))} for name in ("pkl", "pickle", "a.PYD")]
    for sample in samples:
        *_, name = sample
        assert next(iter(wds.decode(pickle="any")(iter([sample]))))[name] == Box(1)
        assert next(iter(wds.decode(pickle=[Box])(iter([sample]))))[name] == Box(1)
    assert pickle.loads(pickle.dumps(Decoder(pickle=[Box])))(samples[0])["pkl"] == Box(1)
    monkeypatch.setenv("WDS_ALLOW_PICKLE", "1")
    assert Decoder()(samples[0])["pkl"] == Box(1)
    assert list(wds.xdecode()(iter([{"x.pyd": samples[0]["pkl"]}]))) == [{"x.pyd": Box(1)}]
    with pytest.raises(DecodeError, match="Box"):
        Decoder(pickle=[])(samples[0])
    monkeypatch.setenv("WDS_SECURE", "1")
    for decoder in (Decoder(), Decoder(pickle="any"), Decoder(pickle=[Box])):
        with pytest.raises(DecodeError, match="not allowed for security reasons"):
            decoder(samples[0])


@pytest.mark.parametrize("pickle", ["safe", "Box", ["Box"], Box, True, 3])
def test_what_allows_nothing_is_a_mistake(pickle: Any) -> None:
    with pytest.raises(SpecError, match='pickle must be "any" or a list of classes'):
        wds.decode(pickle=pickle)


def test_xdecode_is_as_safe() -> None:
    with pytest.raises(DecodeError, match="Box"):
        list(wds.xdecode()(iter([{"x.pyd": pickle.dumps(Box(1))}])))
    assert list(wds.xdecode(pyd=pickle.load)(iter([{"x.pyd": pickle.dumps(Box(1))}]))) == [{"x.pyd": Box(1)}]


@pytest.mark.needs("torch")
@pytest.mark.parametrize("name", ["pth", "pt"])
def test_files_of_torch(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    file = io.BytesIO()
    torch.save({"a": Box(1), "t": torch.ones(1)}, file)
    sample = {"__key__": "k", name: file.getvalue()}
    with pytest.raises(DecodeError, match=r"weights_only allows.*Box.*decode\(pickle="):
        Decoder()(sample)
    for decoder in (Decoder(pickle=[Box]), Decoder(pickle="any")):
        assert decoder(sample)[name]["a"] == Box(1)
    with pytest.raises(DecodeError, match="Box"):
        Decoder(pickle=[Point])(sample)
    monkeypatch.setenv("WDS_ALLOW_PICKLE", "1")
    assert Decoder()(sample)[name]["a"] == Box(1)


# -- what is refused


class Call:
    """Pickled, a call of something; or, with a state, that and a state."""

    def __init__(self, f: Any, *args: Any, state: Any = None) -> None:
        self.reduced = (f, args) if state is None else (f, args, state)

    def __reduce__(self) -> Any:
        return self.reduced


def called(f: Any, *args: Any, state: Any = None) -> bytes:
    return pickle.dumps(Call(f, *args, state=state), 4)


def named(module: str, name: str, *, rest: bytes = b")R.") -> bytes:
    """What finds an object, and by default calls it."""
    return b"\x80\x04" + b"".join(b"\x8c" + bytes([len(text)]) + text.encode() for text in (module, name)) + b"\x93" + rest


def object_array() -> bytes:
    return pickle.dumps(np.array([Call(print, "run")], object))


FINDING: dict[str, bytes] = {
    "os.system": called(os.system, "echo run"),
    "subprocess": called(subprocess.check_call, ["echo", "run"]),
    **{f.__name__: called(f, "print('run')") for f in (eval, exec, print, __import__, compile)},
    "getattr": called(getattr, print, "__call__"),
    "getattr of an admitted class": called(getattr, collections.OrderedDict, "__subclasses__"),
    "getattr of getattr": b"cbuiltins\ngetattr\n(cbuiltins\ngetattr\n()V__class__\ntRV__base__\ntR.",
    "getattr of a function": called(getattr, copyreg._reconstructor, "__globals__"),
    "dotted name of an admitted class": named("collections", "OrderedDict.__subclasses__"),
    "dotted name of an admitted function": named("_codecs", "encode.__self__", rest=b"."),
    "dotted name of numpy": named("numpy", "f2py.os.system", rest=b"."),
    "dotted name of torch": named("torch", "os.system", rest=b"."),
    "module of this package": named("asyncwds.codecs.rebuilding", "pathlib", rest=b"."),
    "a function of numpy": named("numpy", "load", rest=b"."),
    "a hidden one of numpy": named("numpy.testing._private.utils", "runstring", rest=b"."),
    "a class of numpy": named("numpy", "memmap", rest=b"."),
    "partial": called(functools.partial, print, "run"),
    "methodcaller": called(operator.methodcaller, "system"),
    "a function": named("types", "FunctionType"),
    "map": called(map, print, ["run"]),
    "protocol 0": b"cos\nsystem\n(Vecho run\ntR.",
    "INST": b"(Vecho run\nios\nsystem\n.",
    "OBJ": b"(cos\nsystem\nVecho run\no.",
    "NEWOBJ": b"\x80\x02csubprocess\nPopen\n(]Vecho\naVrun\na\x85\x81.",
    "EXT1": b"\x80\x02\x82\x01.",
    "python 2": b"c__builtin__\neval\n(Vprint('run')\ntR.",
    "in a container": pickle.dumps({"a": [1, Call(print, "run")]}),
    "behind 100000 numbers": pickle.dumps([*range(100_000), Call(print, "run")]),
    "in an array of objects": object_array(),
    "as hidden bytes": pickle.dumps(pickle.dumps(1) + b"x")[:-1] + b"0" + called(print, "run")[2:],
    "as the factory of a defaultdict": called(collections.defaultdict, print),
}


@pytest.mark.parametrize("name", FINDING)
@pytest.mark.parametrize("extension", ["pyd", "pkl", "pickle", "pyd.gz"])
def test_code_is_not_run(name: str, extension: str, capfd: pytest.CaptureFixture[str]) -> None:
    import gzip

    data = gzip.compress(FINDING[name]) if extension.endswith("gz") else FINDING[name]
    with pytest.raises(DecodeError, match=r"decode\(pickle=") as caught:
        Decoder()({"__key__": "k", extension: data})
    assert (caught.value.field, caught.value.key) == (extension, "k")
    assert capfd.readouterr().out == ""


@pytest.mark.parametrize("name", ["npy", "npz"])
def test_arrays_of_objects_in_files_are_not_read(name: str, capfd: pytest.CaptureFixture[str]) -> None:
    file = io.BytesIO()
    (np.save if name == "npy" else np.savez)(file, np.array([Call(print, "run")], object))
    for decoder in (Decoder(), Decoder(pickle="any")):
        with pytest.raises(DecodeError, match="allow_pickle"):
            decoder({name: file.getvalue()})
    assert capfd.readouterr().out == ""


@pytest.mark.needs("torch")
def test_code_in_what_torch_loads_is_not_run(capfd: pytest.CaptureFixture[str]) -> None:
    import torch

    file = io.BytesIO()
    torch.save(Call(print, "run"), file, _use_new_zipfile_serialization=False)
    tensor = pickle.loads(pickle.dumps(torch.ones(2)))
    hooks = collections.OrderedDict({0: len})
    rebuild, args = tensor.__reduce_ex__(4)[:2]
    found: list[bytes] = [
        called(torch.storage._load_from_bytes, file.getvalue()),
        called(torch.load, "/etc/passwd"),
        called(torch.hub.load, "a/b", "c"),
        named("torch", "load", rest=b"."),
        named("torch.serialization", "os", rest=b"."),
        pickle.dumps(Call(torch.storage._load_from_bytes, Call(os.system, "echo run"))),
        called(rebuild, *args[:5], hooks),
    ]
    for data in found:
        with pytest.raises((DecodeError, pickle.UnpicklingError)):
            unpickle(data)
    assert capfd.readouterr().out == ""


@pytest.mark.needs("torch")
def test_a_tensor_is_within_its_storage() -> None:
    import torch

    rebuild, args = torch.ones(2).__reduce_ex__(4)[:2]
    for view in ((0, (3,), (1,)), (1, (2,), (1,)), (0, (2,), (2,)), (0, (2,), (-1,)), (-1, (1,), (1,)), (0, (1 << 40,), (1,))):
        with pytest.raises(ValueError, match="does not fit"):
            unpickle(called(rebuild, args[0], *view, *args[4:]))
    assert unpickle(called(rebuild, args[0], 1, (5,), (0,), *args[4:])).tolist() == [1.0] * 5


@pytest.mark.parametrize("kind", rebuilding._CALLED_WITH)
def test_a_class_is_not_written_to(kind: Any) -> None:
    """By the instruction BUILD, which sets attributes of what it is given."""
    before = dict(vars(kind))
    find = named(kind.__module__, kind.__qualname__, rest=b"")
    for state in (b"N}\x8c\x06update\x8c\x05values\x86", b"}\x8c\x06update\x8c\x05values"):
        with pytest.raises(DecodeError, match="a state of"):
            unpickle(find + state + b"b.", [Box])
    assert dict(vars(kind)) == before


def test_nor_is_an_admitted_class_or_a_function() -> None:
    for place in (Box, copyreg._reconstructor):
        before = dict(vars(place))
        state = b"N}\x8c\x05value\x8c\x05values\x86b."
        with pytest.raises(DecodeError, match="a state of"):
            unpickle(named(place.__module__, place.__qualname__, rest=state), [Box])
        assert dict(vars(place)) == before
    with pytest.raises(DecodeError, match="__class__"):
        unpickle(called(Box, 1, state=(None, {"__class__": 1})), [Box])


DTYPE = np.dtype
HOSTILE_DTYPES: dict[str, tuple[str, Any]] = {
    "objects where there are bytes": ("V8", (3, "|", None, ("a",), {"a": (DTYPE("O"), 0)}, 8, 1, 16)),
    "a field outside": ("V8", (3, "|", None, ("a",), {"a": (DTYPE("f8"), 1 << 20)}, 8, 1, 16)),
    "a field before": ("V8", (3, "|", None, ("a",), {"a": (DTYPE("f8"), -8)}, 8, 1, 16)),
    "another size": ("U1", (3, "<", None, None, None, 400, 4, 8)),
    "a size of numbers": ("f8", (3, "<", None, None, None, 1, -1, 0)),
    "flags of objects for numbers": ("f8", (3, "<", None, None, None, -1, -1, 63)),
    "no flags for objects": ("O8", (3, "|", None, None, None, -1, -1, 0)),
    "a larger base": ("V8", (3, "|", (DTYPE("f8"), (1000,)), None, None, 8, 8, 0)),
    "no names": ("V8", (3, "|", None, None, {"a": (DTYPE("f8"), 0)}, 8, 1, 16)),
    "no state at all": ("V8", (3,)),
}


@pytest.mark.parametrize("name", HOSTILE_DTYPES)
def test_a_dtype_is_one_that_numpy_writes(name: str) -> None:
    spec, state = HOSTILE_DTYPES[name]
    with pytest.raises((DecodeError, ValueError, TypeError)):
        unpickle(called(DTYPE, spec, False, True, state=state))


RECONSTRUCT, SCALAR = np.zeros(1).__reduce__()[0], np.float64(0).__reduce__()[0]


@pytest.mark.parametrize(
    "data",
    [
        called(RECONSTRUCT, np.ndarray, (0,), b"b", state=(1, (1 << 40,), DTYPE("f8"), False, b"")),
        called(RECONSTRUCT, np.ndarray, (0,), b"b", state=(1, (1 << 30,), DTYPE("O"), False, [])),
        called(RECONSTRUCT, np.ndarray, (0,), b"b", state=(1, (1 << 62,), DTYPE("V0"), False, b"")),
        called(RECONSTRUCT, np.ndarray, (0,), b"b", state=(1, (-1,), DTYPE("f8"), False, b"")),
        called(RECONSTRUCT, np.ndarray, (1 << 34,), b"b"),
        called(RECONSTRUCT, np.memmap, (0,), b"b"),
        called(SCALAR, DTYPE("f8"), b"1234"),
        called(SCALAR, DTYPE("O"), b"12345678"),
        called(SCALAR, Call(DTYPE, "f8", False, True), b"12345678"),  # whose state is not set
        called(RECONSTRUCT, np.ndarray, (0,), b"b", state=(1, (1,), Call(DTYPE, "V8", False, True), False, b"12345678")),
        called(np.ndarray, (1 << 34,)),
        called(np.void, 1 << 34),
        called(DTYPE, [("a", "O")], False, True),
        # The state of an array, and of its dtype, a second time.
        pickle.dumps(np.ones(2), 4)[:-1] + pickle.dumps((1, (1,), 2), 2)[2:-1] + b"b.",
    ],
)
def test_an_array_is_no_more_than_its_bytes(data: bytes) -> None:
    with pytest.raises((DecodeError, ValueError)):
        unpickle(data)


def test_the_state_of_a_dtype_is_set_once() -> None:
    """Else an array of bytes became one of objects, which the bytes would be the addresses of."""
    state = pickle.dumps((3, "|", None, None, None, 8, 1, 0), 2)[2:-1] + b"b"
    once = b"\x80\x02cnumpy\ndtype\n(X\x02\x00\x00\x00V8\x89\x88tRq\xc8" + state
    assert unpickle(once + b".") == np.dtype("V8")
    with pytest.raises(DecodeError, match="a second state"):
        unpickle(once + b"h\xc8" + state + b".")


FEW_BYTES = [
    called(list, range(10**10)),
    called(set, range(10**10)),
    called(collections.deque, range(10**10)),
    called(collections.OrderedDict, range(10**10)),
    called(bytearray, 10**11),
    called(bytes, 10**11),
    called(fractions.Fraction, "1e999999999"),
    called(fractions.Fraction, decimal.Decimal("1e999999999")),
    called(int, decimal.Decimal("1e999999999")),
    called(str, [1]),
    called(pow, 10, 10**9),
    b"\x80\x02N" + b"r\xff\xff\xff\x7f" + b".",  # the memo's entry 2^31 - 1
    b"Np2147483647\n.",
    b"\x80\x04\x96\xff\xff\xff\xff\xff\x00\x00\x00.",
    b"\x80\x04\x8e\xff\xff\xff\xff\xff\x00\x00\x00.",
    b"\x80\x04\x95\xff\xff\xff\xff\xff\x00\x00\x00.",
]


def test_a_few_bytes_take_no_memory() -> None:
    code = """
import resource, sys
from asyncwds.codecs.pickles import unpickle
resource.setrlimit(resource.RLIMIT_DATA, (1 << 30, 1 << 30))
for data in eval(sys.stdin.read()):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    try:
        unpickle(data)
    except Exception as error:
        pass
    if resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before >= 100_000:
        print(data)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], input=repr(FEW_BYTES), capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.stdout, done.stderr, done.returncode) == ("", "", 0)


@given(st.binary(max_size=60))
def test_any_bytes_are_unpickled_or_refused(data: bytes) -> None:
    for start in (b"", b"\x80\x04", b"\x80\x02"):
        with suppress(DecodeError):
            Decoder()({"pyd": start + data})


@PROTOCOLS
def test_what_is_plain(protocol: int) -> None:
    """Text with the letters of instructions in it, of every length, and numbers of every size, stay plain; a class does not."""
    plain: Callable[[Any], bool] = lambda value: is_plain(pickle.dumps(value, protocol))  # noqa: E731
    values = [["cos\nsystem\nR." * length for length in range(60)], [10**power for power in range(300)], {"a": (1.5, None, True)}]
    assert [plain(value) for value in values] == [protocol >= 1, protocol >= 2, protocol >= 2]
    assert not plain(Box)
    assert not plain([1, "a" * 300, Box(1)])
    assert not is_plain(b"")
    assert not is_plain(pickle.dumps([1, "a"], protocol)[:-1])
