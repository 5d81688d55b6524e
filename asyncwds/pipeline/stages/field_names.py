"""Names of fields, and alternatives of such: "jpg;png"."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from asyncwds.errors import SampleError, SpecError
from asyncwds.samples import describe_misplaced, whereabouts

Names = tuple[str, ...]  # alternatives: the first one that a sample has counts


def alternatives(field: str | Sequence[str]) -> Names:
    """ "jpg;png" → ("jpg", "png")."""
    return tuple(field.split(";") if isinstance(field, str) else field)


def is_field(field: object) -> bool:
    """Whether it names a field, or alternatives: text without spaces, or a list of such."""
    if isinstance(field, str):
        return bool(field) and " " not in field
    return (
        isinstance(field, Sequence)
        and not isinstance(field, bytes)
        and len(field) > 0
        and all(isinstance(name, str) for name in field)
    )


def parse_field_spec(fields: str | Sequence[str]) -> list[list[str]]:
    """ "jpg;png cls", or ["jpg;png", "cls"] → the alternatives of each field: [["jpg", "png"], ["cls"]]."""
    return [list(alternatives(field)) for field in (fields.split() if isinstance(fields, str) else fields)]


def getfirst(sample: Any, keys: str | Sequence[str], default: Any = None, missing_is_error: bool = True) -> Any:
    """The value of the first of the fields ("jpg;png", or a list) that the sample has.

    If it has none: SampleError, or `default` where `missing_is_error` is False. What is no sample at all is a SpecError.
    """
    for name in keys.split(";") if isinstance(keys, str) else keys:
        if name in sample:
            return sample[name]
    if not missing_is_error:
        return default
    wanted = keys if isinstance(keys, str) else ";".join(keys)
    require_dict(sample, f"field {wanted!r}")
    if wrong := describe_misplaced(sample):
        raise SpecError(f"field {wanted!r} is looked for in samples, {wrong}")
    raise SampleError(f"no field {wanted!r} in {' '.join(str(field) for field in sample)}", **whereabouts(sample))


def require_dict(sample: object, stage: str) -> None:
    """Raises SpecError for what is no dict: not this sample is wrong, but the pipeline."""
    if not isinstance(sample, Mapping):
        raise SpecError(f"{stage} needs samples that are dicts, {describe_misplaced(sample)}")
