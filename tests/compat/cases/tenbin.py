"""Arrays in webdataset's own format."""

import numpy as np
import webdataset as published

from tests.compat.cases.registry import add

ARRAYS = {
    code: [np.arange(6).reshape(2, 3).astype(code), np.ones(1).astype(code)]
    for code in published.tenbin.short_to_long
    if code != "u4"  # misspelt there
}
for code, arrays in ARRAYS.items():
    add(f"tenbin {code}: bytes", lambda wds, _, arrays=arrays: [bytes(wds.tenbin.encode_buffer(arrays))])
    add(
        f"tenbin {code}: arrays",
        lambda wds, _, arrays=arrays: wds.tenbin.decode_buffer(bytes(published.tenbin.encode_buffer(arrays))),
    )
    add(
        f"tenbin {code}: parts",
        lambda wds, _, arrays=arrays: [
            bytes(wds.tenbin.encode_header(arrays[0], "info")),
            wds.tenbin.decode_header(bytes(published.tenbin.encode_header(arrays[0], "info")))[1:],
            [bytes(chunk) for chunk in wds.tenbin.decode_chunks(bytes(published.tenbin.encode_buffer(arrays)))],
        ],
    )
for n in (0, 1, 63, 64, 65):
    add(f"tenbin roundup {n}", lambda wds, _, n=n: [wds.tenbin.roundup(n), wds.tenbin.roundup(n, 10)])
add(
    "tenbin words",
    lambda wds, _: [wds.tenbin.str64("i4"), wds.tenbin.unstr64(published.tenbin.str64("~TenBin~")), wds.tenbin.magic],
)
