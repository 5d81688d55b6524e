"""What is found is what reading raises: the same faults, at the same places."""

from asyncwds import WebDataset
from asyncwds.errors import DuplicateFieldError, RepeatedKeyError, TarHeaderError, TrailingBytesError, TruncatedTarError
from asyncwds.tools import Inputs, verify_shards

ERRORS = {
    "W01": TruncatedTarError,
    "W02": TruncatedTarError,
    "W03": TarHeaderError,
    "W04": TarHeaderError,
    "W05": TrailingBytesError,
    "W10": RepeatedKeyError,
    "W11": RepeatedKeyError,
    "W13": DuplicateFieldError,
}


def test_what_is_found_is_what_reading_raises(bad_archive, tmp_path):
    path = tmp_path / "s.tar"
    path.write_bytes(bad_archive)
    raised = []

    def collect(error):
        raised.append((type(error), error.offset, error.key))
        return True

    samples = [
        sample["__key__"] for sample in WebDataset(str(path), shardshuffle=False, handler=collect, strict=True, empty_check=False)
    ]
    result = verify_shards(Inputs(urls=[str(path)]))
    found = [(ERRORS[each.rule], each.offset, each.key) for each in result.findings if each.rule in ERRORS]
    assert sorted(found, key=repr) == sorted(raised, key=repr)
    repeated = [each for each in raised if each[0] is RepeatedKeyError]
    assert result.samples == len(samples) + len(repeated)
