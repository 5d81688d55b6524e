"""What a pipeline prints: its urls, and its stages with their arguments as they were written."""

from __future__ import annotations

from dataclasses import is_dataclass
from typing import Any

from asyncwds.codecs.decoders import Decoder, basichandlers, gzfilter
from asyncwds.codecs.images import ImageHandler
from asyncwds.engine.source import Source
from asyncwds.formatting.texts import changed_fields, first_field, method_name, shorten_lines, show_call, show_object, show_value
from asyncwds.pipeline.description import Description
from asyncwds.pipeline.stage import FilterFunction
from asyncwds.pipeline.stages.fields import Rename
from asyncwds.pipeline.stages.map import Map
from asyncwds.pipeline.stages.slice import Slice
from asyncwds.pipeline.stages.tuples import MapTuple, ToTuple
from asyncwds.shards.urls import shorten_urls

SOURCE_FIELDS = ("shardshuffle", "draw", "prefetch", "retry", "http", "cache", "storage")  # as WebDataset's arguments are named


def describe(name: str, description: Description) -> str:
    """At most 10 lines, as the program would write it."""
    head, *stages = description.stages or ((),)
    lines = [f"{name}({describe_head(head)}, seed={description.seed})"]
    lines += [f"    .{describe_stage(stage)}" for stage in stages]
    if description.passes is not None and description.passes != 1:
        lines.append(f"    .repeat({description.passes})")
    if description.items is not None:
        lines.append(f"    .with_epoch({description.items})")
    elif description.passes is None:
        lines.append("    .repeat()")
    return "\n".join(shorten_lines(lines))


def describe_head(head: Any) -> str:
    """Urls: the first, the last, and how many, with the settings that are not the defaults; another start in short."""
    if not isinstance(head, Source):
        return show_value(head)
    changed = changed_fields(head) | changed_fields(head.access)
    settings = [f"{name}={show_value(changed[name])}" for name in SOURCE_FIELDS if changed.get(name)]
    split = [] if head.split is None else ["split='samples'", f"uneven={head.split.uneven!r}"]
    return ", ".join([shorten_urls(head.urls), *settings, *split])


def describe_stage(stage: Any) -> str:
    """As a method call: `shuffle(1000)`, `decode('rgb8')`, or `compose(f)` for a function of the user's."""
    if isinstance(stage, Map) and isinstance(stage.f, Decoder):
        sizes = {} if stage.f.min_size is None else {"min_size": stage.f.min_size}
        return show_call("decode", decoder_arguments(stage.f), sizes | _without(changed_fields(stage), "f"))
    if isinstance(stage, FilterFunction):
        return f"compose({show_call(_function_name(stage.f), stage.args, stage.kw)})"
    if is_dataclass(stage) and type(stage).__module__.startswith("asyncwds."):
        positional, keywords = stage_arguments(stage)
        return show_call(method_name(type(stage).__name__), positional, keywords)
    return f"compose({show_object(stage)})"


def stage_arguments(stage: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments of the method that makes the stage: the first one without its name."""
    changed = changed_fields(stage)
    changed |= changed.pop("options", {})  # which the method takes as arguments of their own
    match stage:
        case ToTuple():
            return tuple(map(";".join, stage.fields)), _without(changed, "fields")
        case MapTuple():
            return stage.functions, _without(changed, "functions")
        case Slice():
            return stage.bounds, {}
        case Rename():
            return (), {new: ";".join(old) for new, old in stage.fields} | _without(changed, "fields")
    name = first_field(stage)
    if name is None or (name == "handler" and name not in changed):
        return (), changed
    return (getattr(stage, name),), _without(changed, name)


def decoder_arguments(decoder: Decoder) -> tuple[Any, ...]:
    """The handlers of a decoder that are not there by themselves; those for images by their specs."""
    own = [handler for handler in decoder.handlers if handler is not gzfilter and handler is not basichandlers]
    return tuple(handler.imagespec if isinstance(handler, ImageHandler) else handler for handler in own)


def _without(changed: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in changed.items() if key != name}


def _function_name(function: Any) -> str:
    return str(getattr(function, "__name__", function)).lstrip("_")
