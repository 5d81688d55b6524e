"""Who is answered, and with which headers."""

import json
import socket

import pytest

from asyncwds.errors import SpecError
from asyncwds.viewer import open_viewer

TOKEN = "a-token-of-our-own_1"


@pytest.mark.parametrize(
    ("path", "host", "status"),
    [
        (f"/{TOKEN}/", "127.0.0.1", 200),
        (f"/{TOKEN}/api/state", "localhost:9999", 200),  # as through a tunnel
        (f"/{TOKEN}/main.js", "127.0.0.1", 200),
        (f"/{TOKEN}/", "evil.example", 403),  # a page elsewhere whose name was made to point here
        (f"/{TOKEN}/api/state", "127.0.0.1.evil.example", 403),
        (f"/{TOKEN}/api/state", "", 403),
        ("/", "127.0.0.1", 403),
        ("/api/state", "127.0.0.1", 403),
        ("/main.js", "127.0.0.1", 403),
        (f"/{TOKEN[:-1]}/", "127.0.0.1", 403),
        (f"/{TOKEN}x/", "127.0.0.1", 403),
        ("/%FF%FE/", "127.0.0.1", 403),
        (f"/{TOKEN}/../", "127.0.0.1", 404),
        (f"/{TOKEN}/page/main.js", "127.0.0.1", 404),
        (f"/{TOKEN}/..%2Fserver.py", "127.0.0.1", 404),
        (f"/{TOKEN}/field/-1/0", "127.0.0.1", 404),
        (f"/{TOKEN}/field/0/99", "127.0.0.1", 404),
        (f"/{TOKEN}/field/s0.tar/0", "127.0.0.1", 404),
        (f"/{TOKEN}/api/samples?first=x", "127.0.0.1", 422),
    ],
)
async def test_who_is_answered(folder, open_page, path, host, status):
    async with open_page(str(folder / "s0.tar"), token=TOKEN) as page:
        await page.known()
        base = page.address.removesuffix(f"/{TOKEN}/")
        reply = await _ask(base, path, host)
        assert int(reply.split(b" ", 2)[1]) == status
        if status == 403:
            assert b"a/0001" not in reply


async def _ask(base, path, host):
    """With the path and the header as they are: clients would tidy them up."""
    import asyncio

    reader, writer = await asyncio.open_connection("127.0.0.1", int(base.rpartition(":")[2]))
    writer.write(f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    return answer


async def test_requests_that_are_no_sound_http_are_refused_quietly(folder, open_page, caplog):
    async with open_page(str(folder / "s0.tar"), token=TOKEN) as page:
        base = page.address.removesuffix(f"/{TOKEN}/")
        for path in (f"/{TOKEN}/api/samples?numbers={'1,' * 10_000}", "/ and more"):
            assert (await _ask(base, path, "127.0.0.1")).split(b" ", 2)[1] == b"400"
    assert not caplog.records


async def test_nothing_can_be_changed(folder, open_page):
    async with open_page(str(folder / "s0.tar")) as page:
        for method in ("POST", "PUT", "DELETE", "OPTIONS"):
            async with page.session.request(method, page.address + "api/state") as answer:
                assert answer.status == 405


async def test_headers_of_all_answers(folder, open_page):
    async with open_page(str(folder / "s0.tar")) as page:
        await page.known()
        for path in ("", "main.js", "api/state", "field/1/0", "image/1/0", "nothing"):
            _, headers, _ = await page.fetch(path)
            assert headers["X-Content-Type-Options"] == "nosniff"
            assert headers["Referrer-Policy"] == "no-referrer"
            assert "default-src 'none'" in headers["Content-Security-Policy"]
            assert "unsafe" not in headers["Content-Security-Policy"]
            assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
            assert "Access-Control-Allow-Origin" not in headers


async def test_what_is_a_program_is_for_saving(folder, open_page):
    async with open_page(str(folder / "s0.tar")) as page:
        await page.known()
        fields = await page.fields(1)
        types = {}
        for name, index in fields.items():
            _, headers, _ = await page.fetch(f"field/1/{index}")
            types[name] = headers["Content-Type"]
            saved = headers.get("Content-Disposition", "")
            assert saved.startswith("attachment") == (types[name] == "application/octet-stream")
        assert types["svg"] == types["html"] == types["txt"] == types["json"] == types["bin"] == "application/octet-stream"
        assert (types["jpg"], types["wav"], types["mask.png"]) == ("image/jpeg", "audio/wav", "image/png")
        _, headers, _ = await page.fetch(f"field/1/{fields['jpg']}?download=1")
        assert headers["Content-Disposition"] == "attachment; filename*=UTF-8''a_0001.jpg"


async def test_only_this_machine_is_listened_to(folder, open_page):
    async with open_page(str(folder / "s0.tar")) as page:
        port = int(page.address.split(":")[2].partition("/")[0])
        with socket.socket() as other:
            other.settimeout(5)
            assert other.connect_ex(("127.0.0.2", port)) != 0


@pytest.mark.parametrize("token", ["short", "with/slashes/and-so-on", "", 17])
async def test_tokens_that_are_refused(folder, token):
    with pytest.raises(SpecError, match="token"):
        async with open_viewer(str(folder / "s0.tar"), token=token):
            pass


async def test_each_start_has_another_token_and_names_are_no_markup(tmp_path, open_page):
    from asyncwds.testing import make_shard

    name = "<img src=x onerror=alert(1)>"
    (tmp_path / "a.tar").write_bytes(make_shard([{"__key__": name, "txt": name}]))
    async with open_page(str(tmp_path / "a.tar")) as page, open_page(str(tmp_path / "a.tar")) as other:
        assert page.address.rpartition(":")[2] != other.address.rpartition(":")[2]
        await page.known()
        _, headers, data = await page.fetch("api/samples?numbers=0")
        assert headers["Content-Type"].startswith("application/json")
        assert json.loads(data)["samples"][0]["key"] == name


async def test_standard_input_is_refused():
    with pytest.raises(SpecError, match="standard input"):
        async with open_viewer("-"):
            pass
