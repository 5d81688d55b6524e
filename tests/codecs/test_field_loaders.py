from __future__ import annotations

import pickle
import subprocess
import sys
from contextlib import suppress
from io import BytesIO
from typing import Any

import numpy as np
import pytest

from asyncwds import Decoder, torch_safetensors
from asyncwds.codecs import field_loaders
from asyncwds.codecs.decoders import decoders
from asyncwds.codecs.tensors import encode_buffer
from asyncwds.errors import DecodeError, SpecError
from asyncwds.runtime import security

PICKLES = ["pkl", "pickle", "pyd"]


@pytest.fixture(autouse=True)
def restored_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("WDS_SECURE", "WDS_PYTORCH_WEIGHTS_ONLY"):
        monkeypatch.setenv(name, "to be restored")
        monkeypatch.delenv(name)


def decode(field: str, data: bytes) -> Any:
    return Decoder()({"__key__": "k", field: data})[field]


@pytest.mark.parametrize("field", ["ten", "tb", "tenbin", "a.TEN", "ten.gz"])
def test_tenbin(field: str) -> None:
    import gzip

    arrays = [np.arange(6, dtype="int16").reshape(2, 3), np.ones(1, "float32")]
    data = encode_buffer(arrays)
    decoded = decode(field, gzip.compress(data) if field.endswith("gz") else data)
    assert [array.tolist() for array in decoded] == [[[0, 1, 2], [3, 4, 5]], [1.0]]
    assert [array.dtype for array in decoded] == ["int16", "float32"]


@pytest.mark.needs("msgpack")
@pytest.mark.parametrize("field", ["mp", "msg", "msgpack"])
@pytest.mark.parametrize("value", [{"a": [1, 2.5, None, "é", b"\xff"]}, None, 0])
def test_msgpack(field: str, value: Any) -> None:
    import msgpack

    assert decode(field, msgpack.packb(value)) == value


@pytest.mark.needs("cbor2")
@pytest.mark.parametrize("value", [{"a": [1, 2.5, None, "é", b"\xff"]}, None, 0, 2**70])
def test_cbor(value: Any) -> None:
    import cbor2

    assert decode("cbor", cbor2.dumps(value)) == value


@pytest.mark.needs("cbor2")
def test_cbor_that_was_written_elsewhere() -> None:
    """From appendix A of RFC 8949."""
    assert decode("cbor", bytes.fromhex("a26161016162820203")) == {"a": 1, "b": [2, 3]}
    assert decode("cbor", bytes.fromhex("9f018202039f0405ffff")) == [1, [2, 3], [4, 5]]


@pytest.mark.needs("safetensors")
def test_safetensors() -> None:
    from safetensors.numpy import save

    arrays = {"a": np.arange(6, dtype="int16").reshape(2, 3), "b": np.ones(1, "float32")}
    decoded = decode("safetensors", save(arrays))
    assert sorted(decoded) == ["a", "b"]
    assert np.array_equal(decoded["a"], arrays["a"])
    assert decoded["b"].dtype == "float32"


@pytest.mark.needs("safetensors", "torch")
def test_safetensors_as_tensors() -> None:
    import torch
    from safetensors.torch import save

    data = save({"a": torch.arange(3, dtype=torch.bfloat16)})
    decoded = Decoder([torch_safetensors])({"x.safetensors": data, "txt": b"x"})
    assert torch.equal(decoded["x.safetensors"]["a"], torch.arange(3, dtype=torch.bfloat16))
    assert decoded["txt"] == "x"


# -- what shards may do that are not trusted


class Hostile:
    def __reduce__(self) -> tuple[Any, ...]:
        return print, ("the pickle was run",)


@pytest.mark.parametrize("field", PICKLES)
def test_secure_mode_unpickles_nothing(field: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert decode(field, pickle.dumps({1})) == {1}
    security.enforce_security(True)
    with pytest.raises(DecodeError, match="Unpickling is not allowed for security reasons when enforce_security is set") as caught:
        decode(field, pickle.dumps(Hostile()))
    assert (caught.value.field, caught.value.key) == (field, "k")
    with pytest.raises(ValueError, match="Unpickling is not allowed"):
        field_loaders.unpickle_loads(pickle.dumps(1))
    assert capsys.readouterr().out == ""
    security.enforce_security(False)
    assert decode(field, pickle.dumps({1})) == {1}


def test_no_decoder_runs_a_pickle_in_secure_mode(capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever the extension: a pickle, an array of objects, an archive of such."""
    security.enforce_security(True)
    file, archive = BytesIO(), BytesIO()
    np.save(file, np.array([Hostile()], dtype=object))
    np.savez(archive, np.array([Hostile()], dtype=object))
    for extension in decoders:
        for data in (pickle.dumps(Hostile()), file.getvalue(), archive.getvalue()):
            with suppress(DecodeError, SpecError):  # the latter where a library is missing
                Decoder()({extension: data})
    assert capsys.readouterr().out == ""


@pytest.mark.needs("torch")
def test_torch_files_hold_weights_only_unless_told_otherwise(capsys: pytest.CaptureFixture[str]) -> None:
    import torch

    hostile, weights = BytesIO(), BytesIO()
    torch.save(Hostile(), hostile)
    torch.save({"a": torch.arange(3)}, weights)
    assert torch.equal(field_loaders.torch_loads(weights.getvalue())["a"], torch.arange(3))
    with pytest.raises(DecodeError, match="weights_only"):
        decode("pth", hostile.getvalue())
    assert capsys.readouterr().out == ""
    security.allow_only_weights(False)
    decode("pth", hostile.getvalue())
    assert capsys.readouterr().out == "the pickle was run\n"
    security.enforce_security(True)
    with pytest.raises(DecodeError, match=r"torch.loads is not allowed for security reasons when enforce_security is set"):
        decode("pth", weights.getvalue())
    security.enforce_security(False)
    security.allow_only_weights(True)
    with pytest.raises(DecodeError, match="weights_only"):
        decode("pth", hostile.getvalue())


def test_the_flags_are_those_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    assert (security.secure_mode(), security.weights_only()) == (False, True)
    monkeypatch.setenv("WDS_SECURE", "1")
    monkeypatch.setenv("WDS_PYTORCH_WEIGHTS_ONLY", "0")
    assert (security.secure_mode(), security.weights_only()) == (True, False)
    security.enforce_security(False)
    security.allow_only_weights(True)
    told = "from asyncwds.runtime.security import *; print(secure_mode(), weights_only())"
    assert subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, check=True).stdout == "False True\n"
    security.enforce_security(True)
    assert subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, check=True).stdout == "True True\n"


def test_a_missing_library_is_named_with_its_extra_and_skipped_by_no_handler() -> None:
    code = """
import sys
sys.modules.update(dict.fromkeys(["cbor2", "msgpack", "safetensors", "av", "soundfile", "torchcodec"]))
from asyncwds import Decoder, torch_safetensors
from asyncwds import decode
from asyncwds import ignore_and_continue
from asyncwds.errors import SpecError
for field in ("cbor", "mp", "safetensors"):
    try:
        list(decode(handler=ignore_and_continue)(iter([{"__key__": "k", field: b"x"}])))
    except SpecError as error:
        print(error, *error.__notes__)
"""
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    for line, extra in zip(done.stdout.splitlines(), ("cbor", "msgpack", "safetensors"), strict=True):
        assert f"pip install 'asyncwds[{extra}]'" in line
        assert line.endswith("in stage map(Decoder), sample 'k'")
