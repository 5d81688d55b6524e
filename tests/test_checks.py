"""Functions are looked at when they are given: one that cannot take its arguments is refused, and none that can."""

from __future__ import annotations

import collections
import enum
import functools
import io
import json
import operator
import re
from collections.abc import Callable
from dataclasses import dataclass
from inspect import Parameter, Signature
from typing import Any, NamedTuple

import numpy as np
import pytest

import asyncwds as wds
from asyncwds.checks import can_take
from asyncwds.errors import SpecError


def add_argument(f: Callable[..., Any]) -> Callable[..., Any]:
    """A decorator that gives one argument itself, and says that its function takes two."""

    @functools.wraps(f)
    def wrapper(value: Any) -> Any:
        return f(value, 2)

    return wrapper


def declare_nothing(f: Any) -> Any:
    f.__signature__ = Signature([Parameter("a", Parameter.KEYWORD_ONLY)])
    return f


def two(value: Any, other: Any) -> Any:
    return value, other


@dataclass
class Record:
    value: Any


class Pair(NamedTuple):
    value: Any
    other: Any = None


class Colour(enum.Enum):
    RED = b"1"


class Meta(type):
    def __call__(cls, *_: Any) -> Any:
        return super().__call__()


class MadeByMeta(metaclass=Meta):
    def __init__(self) -> None:
        self.made = True


class New:
    def __new__(cls, *_: Any) -> Any:
        return 3

    def __init__(self) -> None:
        """Never called: what is made is not one of this class."""


class Transform:
    def __init__(self, size: int = 1) -> None:
        self.size = size

    def __call__(self, value: Any, scale: int = 1) -> Any:
        return value, scale

    def method(self, value: Any) -> Any:
        return value

    @classmethod
    def made(cls, value: Any) -> Any:
        return cls, value

    @staticmethod
    def static(value: Any) -> Any:
        return value

    bound = functools.partialmethod(two)


class Varying:
    def __call__(*args: Any) -> Any:
        return args[1]


class ForSamples:
    def __call__(self, image: Any, label: Any) -> Any:
        return image, label

    def method(self) -> Any:
        return self


def name(f: Any) -> str:
    return str(getattr(f, "__qualname__", type(f).__name__))


WORKING: list[Any] = [
    *(bytes, bytearray, memoryview, str, len, int, float, list, repr, hash, type, json.loads, print, io.BytesIO),
    *(
        np.asarray,
        np.array,
        np.vectorize(len),
        operator.itemgetter(0),
        operator.methodcaller("decode"),
        re.compile(b"1").match,
    ),
    *(collections.Counter, functools.lru_cache(len), functools.singledispatch(repr), b"12".split, "{}".format, {b"1": 2}.get),
    *(Record, Pair, Colour, MadeByMeta, New, Transform, Transform(), Transform().method, Transform.made, Transform().static),
    *(Transform().bound, Varying(), Varying().__call__, add_argument(two), declare_nothing(lambda value: value)),
    *(
        functools.partial(two, 1),
        functools.partial(two, other=1),
        functools.partial(Transform(), scale=2),
        functools.partial(int, base=2),
    ),
    *(functools.partial(functools.partial(two), 1), functools.partial(Record)),
    *(lambda *values: values, lambda value, other=1: (value, other), lambda value=None, **options: (value, options)),
    *(staticmethod(repr), functools.partial(declare_nothing(lambda value: value))),
]


@pytest.mark.parametrize("f", WORKING, ids=name)
def test_whatever_can_be_called_with_a_value_is_taken(f: Any, capsys: Any) -> None:
    value = b"1"
    f(value)
    for take in (wds.map, wds.select, lambda f: wds.map_dict(txt=f), wds.map_tuple, lambda f: wds.decode(decoders={"txt": f})):
        take(f)
    [result] = wds.map_tuple(f)(iter([(value,)]))
    assert len(result) == 1
    capsys.readouterr()


class Nothing:
    """Its class takes no arguments."""


REFUSED: list[Any] = [
    *(lambda: None, lambda a, b: (a, b), lambda *, a=1: a, lambda a, *, b: (a, b), two, ForSamples(), ForSamples().method),
    *(functools.partial(two), functools.partial(two, 1, 2), functools.partial(two, value=1), functools.partial(lambda: None)),
    *(ForSamples, Nothing, type("Empty", (), {"__init__": lambda _: None}), type("Bare", (), {"__new__": lambda _: None})),
]


@pytest.mark.parametrize("f", REFUSED, ids=name)
def test_what_cannot_be_called_with_a_value_is_refused_when_it_is_given(f: Any) -> None:
    with pytest.raises(TypeError):
        f(b"1")
    taking = [
        *(wds.map, wds.select, lambda f: wds.map_dict(txt=f), lambda f: wds.map_tuple(None, f), wds.associate),
        *(lambda f: wds.batched(2, f), lambda f: wds.xdecode(cls=f), lambda f: wds.handle_extension("txt", f)),
        *(
            lambda f: wds.map(len, f),
            lambda f: wds.WebDataset("a.tar", select_files=f),
            lambda f: wds.Cache("folder", url_to_name=f),
        ),
        *(lambda f: wds.ShardWriter("%d.tar", encoder=f), lambda f: wds.ShardWriter("%d.tar", post=f)),
    ]
    for take in taking:
        with pytest.raises(SpecError, match="is called with 1 argument, which .* does not take"):
            take(f)


def test_other_numbers_of_arguments() -> None:
    for take, number in {
        lambda f: wds.S3(get_keys=f): "0 arguments",
        lambda f: wds.WebDataset("a.tar", fetcher=f): "0 arguments",
        wds.decode: "2 arguments",
    }.items():
        take(lambda *_: None)
        with pytest.raises(SpecError, match=f"is called with {number}, which .*<lambda> does not take; functools.partial"):
            take(lambda _: None)


def test_what_is_not_certain_is_taken() -> None:
    assert can_take(dict.fromkeys, 9)
    assert can_take(MadeByMeta, 9)
    assert can_take(add_argument(two), 1)
    assert not can_take(add_argument(two), 2)


def test_a_stage_takes_an_iterator() -> None:
    def placed(source: Any, *, place: wds.WorkerInfo) -> Any:
        return ((item, place.rank) for item in source)

    def more(source: Any, number: int) -> Any:
        return (item + number for item in source)

    for stage in (placed, functools.partial(more, number=1), wds.pipelinefilter(more)(1), sorted, lambda *sources: sources[0]):
        assert len(list(wds.DataPipeline([[1, 2]], stage))) == 2
    for stage in (more, lambda: iter([]), functools.partial(more, [], 1)):
        with pytest.raises(SpecError, match="a stage is called with 1 argument"):
            wds.DataPipeline([[1, 2]], stage)
        with pytest.raises(SpecError, match="a stage is called with 1 argument"):
            wds.FluidWrapper([1, 2]).compose(stage)
