"""Fields and images."""

import gzip
import io
import itertools
import json
import pickle
from typing import Any

import numpy as np
import torch
import webdataset as published
from PIL import Image

from tests.compat.cases.registry import add
from tests.compat.cases.stages import staged


def npy(array: Any) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def npz(**arrays: Any) -> bytes:
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def pth(value: Any) -> bytes:
    file = io.BytesIO()
    torch.save(value, file)
    return file.getvalue()


def picture(kind: str, mode: str = "RGB", size: tuple[int, int] = (5, 4)) -> bytes:
    channels = {"RGB": (3,), "RGBA": (4,), "L": ()}[mode]
    pixels = np.random.default_rng(1).integers(0, 256, (size[1], size[0], *channels), np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind)
    return file.getvalue()


TENBIN = published.tenbin.encode_buffer([np.arange(4, dtype="i4"), np.ones((2, 3), "f4")])
FIELDS: dict[str, bytes] = {
    **dict.fromkeys(("txt", "text", "transcript"), "text ü".encode()),
    **dict.fromkeys(("cls", "cls2", "index", "inx", "id"), b"17"),
    **dict.fromkeys(("json", "jsn"), b'{"a": [1, 2.5, "x"]}'),
    **dict.fromkeys(("pkl", "pickle", "pyd"), pickle.dumps({"a": (1, b"2")})),
    "pth": pth(torch.arange(3)),
    **dict.fromkeys(("ten", "tb"), bytes(TENBIN)),
    "npy": npy(np.arange(6.0).reshape(2, 3)),
    "npz": npz(a=np.arange(3), b=np.ones(2)),
    "unknown": b"bytes stay",
    "long.name.txt": b"by the last of the extensions",
}
for extension, data in FIELDS.items():
    add(f"decode {extension}", staged("decode", data=lambda extension=extension, data=data: [{"__key__": "k", extension: data}]))
for extension, data in {"cls": b"seventeen", "json": b"{", "npy": b"nonsense", "pkl": b"nonsense", "txt": b"\xff"}.items():
    broken = [{"__key__": "k", extension: data}, {"__key__": "l", "txt": b"good"}]
    for handler in ("reraise_exception", "ignore_and_continue", "ignore_and_stop"):
        add(
            f"decode a broken {extension} with {handler}",
            lambda wds, _, broken=broken, handler=handler: wds.decode(handler=getattr(wds, handler))(iter(broken)),
        )

SPECS = list(published.autodecode.imagespecs)
PICTURES = {
    "jpg": picture("JPEG"), "jpeg": picture("JPEG", "L"), "png": picture("PNG", "RGBA"), "ppm": picture("PPM"),
    "bmp": picture("BMP"),
}  # fmt: skip
for spec, extension in itertools.product(SPECS, PICTURES):
    add(
        f"decode {extension} as {spec}",
        staged("decode", spec, data=lambda extension=extension: [{"__key__": "k", extension: PICTURES[extension], "cls": b"1"}]),
    )
FIELD = [{"__key__": b"k", "a.txt": b"x", "b.txt": b"y", "cls": b"1", "seg.png": PICTURES["png"]}]
OPTIONS: dict[str, dict[str, Any]] = {
    "only one": {"only": ["a.txt"]},
    "only none": {"only": []},
    "no defaults after": {"post": []},
    "a handler before": {"pre": [lambda key, data: data[::-1] if key.endswith("a.txt") else None]},
    "a handler after": {"post": [lambda key, data: (key, len(data))]},
}
for name, keywords in OPTIONS.items():
    add(f"decode, {name}", staged("decode", data=lambda: FIELD, **keywords))
add("decode by extension", lambda wds, _: wds.decode(wds.handle_extension("a.txt", len))(iter(FIELD)))
add("decode by two extensions", lambda wds, _: wds.decode(wds.handle_extension("TXT cls", bytes.hex))(iter(FIELD)))
add(
    "decode, and go on", lambda wds, _: wds.decode(lambda k, d: wds.Continue(".x.txt", d + d) if k == ".cls" else None)(iter(FIELD))
)
add("decode gz", lambda wds, _: wds.decode()(iter([{"__key__": "k", "txt.gz": gzip.compress(b"packed")}])))
add("decode what is decoded", lambda wds, _: wds.decode()(wds.decode()(iter(FIELD))))
add("decode what is decoded, partial", lambda wds, _: wds.decode(partial=True)(wds.decode()(iter(FIELD))))
add("imagehandler for one extension", lambda wds, _: wds.decode(wds.imagehandler("rgb8", ["gif"]))(iter(FIELD)))
for key, data in {"x.txt": b"1", "cls": b"3", "x.unknown": b"3"}.items():
    add(f"basichandlers {key}", lambda wds, _, key=key, data=data: [wds.autodecode.basichandlers(f".{key}", data)])
for extensions in (["txt"], ["a.txt", "cls"], ["b.txt"]):
    add(
        f"call_extension_handler {extensions}",
        lambda wds, _, extensions=extensions: [wds.autodecode.call_extension_handler("a.txt", b"x", len, extensions)],
    )
XDECODE = [{"__key__": "k", "a.txt": b"text", "b.bin": b"bytes", "json": b'{"n": 1}'}]
add("xdecode", lambda wds, _: wds.xdecode(json=json.load)(iter(XDECODE)))
add("xdecode by pattern", lambda wds, _: wds.xdecode(("*json", json.load), ("a.*", lambda f: f.read(2)))(iter(XDECODE)))
add("xdecode without a decoder", lambda wds, _: wds.xdecode()(iter(XDECODE)))
add("xdecode without a decoder, allowed", lambda wds, _: wds.xdecode(must_decode=False)(iter(XDECODE)))
