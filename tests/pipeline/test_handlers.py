from __future__ import annotations

import warnings

import pytest

from asyncwds import ignore_and_continue, ignore_and_stop, reraise_exception, warn_and_continue, warn_and_stop
from asyncwds.errors import DecodeError
from asyncwds.pipeline import handled


def test_the_default_raises_the_very_exception() -> None:
    error = KeyError("x")
    with pytest.raises(KeyError) as caught:
        reraise_exception(error)
    assert caught.value is error


def test_ignoring_is_silent() -> None:
    assert ignore_and_continue(ValueError()) is True
    assert ignore_and_stop(ValueError()) is False


def test_warnings_name_the_error_and_its_place() -> None:
    error = DecodeError("field 'txt' cannot be decoded", url="a.tar", key="k")
    for handler, result in ((warn_and_continue, True), (warn_and_stop, False)):
        with pytest.warns(UserWarning, match=r"DecodeError: field 'txt' cannot be decoded \(url=a.tar, key=k\)"):
            assert handler(error) is result


def test_the_stage_and_the_sample_are_noted() -> None:
    error = ValueError("x")
    assert handled(error, ignore_and_continue, "map(f)", {"__key__": "a/b"})
    assert not handled(error, ignore_and_stop, "map(g)", (1, 2))
    assert error.args == ("x",)
    assert error.__notes__ == ["in stage map(f), sample 'a/b'", "in stage map(g)"]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        warn_and_continue(error)
    assert "in stage map(f), sample 'a/b'; in stage map(g)" in str(caught[0].message)
