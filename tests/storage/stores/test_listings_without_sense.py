"""Pages that are no listing are an error that says so, in each store."""

import pytest
from aiohttp import web
from store_access import listed
from webapps import serve

from asyncwds import GCS, AIStore, Azure, HuggingFace
from asyncwds.errors import FetchError
from asyncwds.storage import AisStore, AzureStore, GcsStore, HfStore

NO_JSON, NO_XML = ("<html>", "[]"), ("{}", "<html>")
CASES = {
    "ais": (AisStore, lambda origin: AIStore(endpoint=origin), "ais://b/", NO_JSON, "listing"),
    "gcs": (GcsStore, lambda origin: GCS(endpoint=origin, anonymous=True), "gs://b/", NO_JSON, "listing"),
    "azure": (AzureStore, lambda origin: Azure(endpoint=f"{origin}/me", anonymous=True), "az://c/", NO_XML, "no XML"),
    "hf": (HfStore, lambda origin: HuggingFace(endpoint=origin), "hf://datasets/who/shards/", ("<html>",), "makes no sense"),
}


@pytest.mark.parametrize("name", CASES)
async def test_listings_that_make_no_sense(name: str) -> None:
    kind, settings, url, pages, told = CASES[name]
    for page in pages:

        async def nonsense(request: web.Request, page: str = page) -> web.Response:
            return web.Response(text=page)

        with serve(nonsense) as (origin,), pytest.raises(FetchError, match=told):
            await listed(kind, settings(origin), url, deep=False)
