"""What the page asks for: samples as JSON, fields as they are or drawn, histograms. A sample is asked for by its number only."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from importlib.resources import files
from typing import Any
from urllib.parse import quote

from aiohttp import web

from asyncwds.errors import FetchError, NoSuchSampleError, SpecError, WdsError
from asyncwds.formatting.texts import printable
from asyncwds.index.columns import Field
from asyncwds.previews.colours import COLOUR_MAPS
from asyncwds.previews.kinds import DOWNLOAD, kind_of
from asyncwds.previews.pictures import draw
from asyncwds.previews.texts import read_text
from asyncwds.runtime.blocking import BlockingPool
from asyncwds.runtime.units import KiB, MiB
from asyncwds.viewer.catalog import Catalog, Place, describe_sample, describe_state
from asyncwds.viewer.conditions import find_matching
from asyncwds.viewer.fields import AHEAD, FieldReader
from asyncwds.viewer.guard import PAGE_POLICY
from asyncwds.viewer.http_range import parse_range
from asyncwds.viewer.measuring import Measurer
from asyncwds.viewer.searching import find_key, search_keys

MOST = 200  # samples in an answer
LARGEST_PICTURE = 4096  # pixels
_ASSETS = {
    "": ("page.html", "text/html"),
    "view.css": ("view.css", "text/css"),
    **{name: (name, "text/javascript") for name in ("main.js", "api.js", "card.js", "grid.js", "detail.js", "charts.js")},
}
_AHEAD_OF = frozenset({"image", "raster", "array", "json", "text"})


class Routes:
    """One event loop's."""

    def __init__(self, catalog: Catalog, fields: FieldReader, pool: BlockingPool) -> None:
        self._catalog = catalog
        self._fields = fields
        self._pool = pool
        self._measurer = Measurer(catalog, fields, pool)

    def add_to(self, app: web.Application, token: str) -> None:
        number = r"{number:\d{1,15}}/{field:\d{1,9}}"
        gets: dict[str, Callable[[web.Request], Awaitable[web.StreamResponse]]] = {
            "api/state": self.state,
            "api/samples": self.samples,
            "api/search": self.search,
            "api/where": self.where,
            "api/measures": self.measures,
            "api/histogram": self.histogram,
            "api/texts": self.texts,
            f"api/text/{number}": self.text,
            f"image/{number}": self.image,
            f"field/{number}": self.field,
        }
        for path, handler in gets.items():
            app.router.add_get(f"/{token}/{path}", answering(handler))
        for path, (name, content_type) in _ASSETS.items():
            app.router.add_get(f"/{token}/{path}", _asset(name, content_type))

    async def state(self, _: web.Request) -> web.Response:
        return web.json_response(await self._pool.run(describe_state, self._catalog))

    async def samples(self, request: web.Request) -> web.Response:
        """By `numbers`, or `count` from `first` on. Their small fields are read ahead."""
        places = self._places(request)
        self._fields.read_ahead([(place, field) for place in places for field in place.row.fields if _is_shown(field)])
        return web.json_response({"samples": [describe_sample(place) for place in places], "total": len(self._catalog)})

    async def search(self, request: web.Request) -> web.Response:
        """The samples that have `text` in their key; with `exact`, the first whose key it is."""
        text = request.query.get("text", "")
        if "exact" in request.query:
            number = await self._pool.run(lambda: find_key(self._catalog.columns(), text))
            if number is None:
                raise NoSuchSampleError("no sample that is known has this key", key=text)
            return web.json_response({"numbers": [number], "after": None})
        most, after = _whole(request.query.get("count", "24"), MOST), _whole(request.query.get("after", "0"))
        found = await self._pool.run(lambda: search_keys(self._catalog.columns(), text, most, after))
        return web.json_response(found._asdict())

    async def where(self, request: web.Request) -> web.Response:
        """The samples for which a condition holds; those that were found in about a second."""
        most, after = _whole(request.query.get("count", "24"), MOST), _whole(request.query.get("after", "0"))
        found = await find_matching(self._catalog, self._fields, request.query.get("where", ""), max(most, 1), after)
        return web.json_response(found._asdict())

    async def measures(self, _: web.Request) -> web.Response:
        return web.json_response(await self._measurer.measures())

    async def histogram(self, request: web.Request) -> web.Response:
        query = request.query
        asked = query.get("field", ""), query.get("of", "size"), query.get("path", "")
        return web.json_response(await self._measurer.histogram(*asked))

    async def texts(self, request: web.Request) -> web.Response:
        """Those of all samples of a page in one answer: browsers make six requests at a time."""
        most = _whole(request.query.get("most", "300"), 4 * KiB)
        wanted = [
            (place, number, field)
            for place in self._places(request)
            for number, field in enumerate(place.row.fields)
            if kind_of(field.suffix).kind in ("text", "json")
        ]
        found = await asyncio.gather(*[self._text_or_error(place, field, most) for place, _, field in wanted])
        names = [f"{place.number}/{number}" for place, number, _ in wanted]
        return web.json_response({"texts": dict(zip(names, found, strict=True))})

    async def _text_or_error(self, place: Place, field: Field, most: int) -> dict[str, Any]:
        try:
            return await self._text(place, field, most)
        except WdsError as error:
            return {"error": str(error)}

    async def text(self, request: web.Request) -> web.Response:
        place, field = self._asked(request)
        return web.json_response(await self._text(place, field, _whole(request.query.get("most", str(4 * KiB)), MiB)))

    async def _text(self, place: Place, field: Field, most: int) -> dict[str, Any]:
        kind = kind_of(field.suffix)
        is_whole = kind.kind in ("json", "array", "image", "raster") or kind.compression is not None or field.size <= most
        data = await (self._fields.whole(place, field) if is_whole else self._fields.beginning(place, field, most))
        found = await self._decode(read_text, data, kind, most, whole=is_whole)
        return {**found._asdict(), "nbytes": field.size}

    async def image(self, request: web.Request) -> web.Response:
        place, field = self._asked(request)
        size, how = _whole(request.query.get("size", "320"), LARGEST_PICTURE), request.query.get("map", "auto")
        if how not in COLOUR_MAPS:
            raise SpecError(f"a colour map is one of {', '.join(COLOUR_MAPS)}")
        data = await self._fields.whole(place, field)
        picture = await self._decode(draw, data, field.suffix, kind_of(field.suffix), max(size, 1), how)
        return web.Response(body=picture.data, content_type=picture.type)

    async def field(self, request: web.Request) -> web.StreamResponse:
        """As it is in the shard, or a range of it. What browsers should not show is for saving."""
        place, field = self._asked(request)
        content_type = kind_of(field.suffix).type
        headers = {"Accept-Ranges": "bytes"}
        if content_type == DOWNLOAD or "download" in request.query:
            headers["Content-Disposition"] = f"attachment; filename*=UTF-8''{_file_name(place, field)}"
        try:
            asked = parse_range(request.headers.get("Range"), field.size)
        except ValueError:
            return web.Response(status=416, headers={"Content-Range": f"bytes */{field.size}"})
        start, stop = asked or (0, field.size)
        response = web.StreamResponse(status=200 if asked is None else 206, headers=headers)
        response.content_type = content_type
        response.content_length = stop - start
        if asked is not None:
            response.headers["Content-Range"] = f"bytes {start}-{stop - 1}/{field.size}"
        if request.method == "HEAD":
            return response
        return await self._send(request, response, (place, field), start, stop)

    async def _send(
        self, request: web.Request, response: web.StreamResponse, found: tuple[Place, Field], start: int, stop: int
    ) -> web.StreamResponse:
        place, field = found
        if field.size <= AHEAD:
            data = await self._fields.whole(place, field)
            await response.prepare(request)
            await response.write(data[start:stop])
            return response
        async with aclosing(self._fields.stream(place, field, start, stop)) as chunks:
            first = await anext(chunks, b"")  # what fails before the answer begins is an answer
            await response.prepare(request)
            try:
                await response.write(first)
                async for chunk in chunks:
                    await response.write(chunk)
            except WdsError:
                if request.transport is not None:
                    request.transport.abort()  # so that nobody takes this for all of it
            except ConnectionResetError:
                pass  # a player has jumped elsewhere
        return response

    async def _decode(self, decode: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        try:
            return await self._pool.run(decode, *args, **kwargs)
        except Exception as error:  # whatever decoders raise
            raise SpecError(f"it cannot be shown: {type(error).__name__}: {error}") from error

    def _asked(self, request: web.Request) -> tuple[Place, Field]:
        place = self._catalog.place(int(request.match_info["number"]))
        return place, place.field(int(request.match_info["field"]))

    def _places(self, request: web.Request) -> list[Place]:
        if "numbers" in request.query:
            numbers = [_whole(text) for text in request.query["numbers"].split(",")[:MOST]]
        else:
            first = _whole(request.query.get("first", "0"))
            numbers = list(range(first, min(first + _whole(request.query.get("count", "24"), MOST), len(self._catalog))))
        return [self._catalog.place(number) for number in numbers]


def answering(
    handler: Callable[[web.Request], Awaitable[web.StreamResponse]],
) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    """The handler, whose errors are answers."""

    async def answer(request: web.Request) -> web.StreamResponse:
        try:
            return await handler(request)
        except WdsError as error:
            status = 404 if isinstance(error, NoSuchSampleError) else 502 if isinstance(error, FetchError) else 422
            return web.json_response({"error": f"{type(error).__name__}: {error}"}, status=status)

    return answer


def _asset(name: str, content_type: str) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    data = files("asyncwds.viewer").joinpath("page", name).read_bytes()

    async def answer(_: web.Request) -> web.StreamResponse:
        policy = {"Content-Security-Policy": PAGE_POLICY} if content_type == "text/html" else None
        return web.Response(body=data, content_type=content_type, charset="utf-8", headers=policy)

    return answer


def _whole(text: str, most: int = 10**15) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 15:
        raise SpecError(f"this is no number: {printable(text[:40])!r}")
    return min(int(text), most)


def _is_shown(field: Field) -> bool:
    return kind_of(field.suffix).kind in _AHEAD_OF


def _file_name(place: Place, field: Field) -> str:
    return quote(f"{place.row.key}.{field.suffix}".replace("/", "_"), safe="", errors="replace")
