"""azurite, Microsoft's own emulator of Azure Blob Storage, with its data in memory. `install.sh` beside this file installs it."""

import os
import re
import ssl
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from email.utils import formatdate
from pathlib import Path
from urllib.parse import quote
from xml.etree import ElementTree as ET

import trustme
from processes import leave_out, program, running

from asyncwds.storage.stores.azure.auth import shared_key
from asyncwds.storage.stores.azure.store import VERSION

ACCOUNT = "devstoreaccount1"
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "asyncwds" / "azurite"


@dataclass(frozen=True)
class Azurite:
    """`endpoint` is that of the one account that it has; `ca_file` signed its certificate, where it speaks TLS."""

    endpoint: str
    ca_file: str | None

    @property
    def connection_string(self) -> str:
        return f"AccountName={ACCOUNT};AccountKey={KEY};BlobEndpoint={self.endpoint};"

    def create(self, container: str, *, public: bool = False) -> None:
        self._send("PUT", f"/{container}?restype=container", {"x-ms-blob-public-access": "blob"} if public else {})

    def put(self, container: str, blob: str, data: bytes) -> str:
        self._send("PUT", f"/{container}/{quote(blob)}", {"x-ms-blob-type": "BlockBlob"}, data)
        return f"az://{container}/{blob}"

    def get(self, container: str, blob: str) -> bytes:
        return self._send("GET", f"/{container}/{quote(blob)}", {})

    def names(self, container: str) -> list[str]:
        """Also of blobs whose blocks were sent, but never committed."""
        page = self._send("GET", f"/{container}?restype=container&comp=list&include=uncommittedblobs", {})
        return [name.text or "" for name in ET.fromstring(page).iterfind("Blobs/Blob/Name")]

    def _send(self, method: str, path: str, headers: dict[str, str], data: bytes = b"") -> bytes:
        url = self.endpoint + path
        headers |= {"x-ms-version": VERSION, "x-ms-date": formatdate(usegmt=True)}
        if method == "PUT":
            headers |= {"Content-Length": str(len(data)), "Content-Type": "application/octet-stream"}
        headers["Authorization"] = shared_key(ACCOUNT, KEY, method, url, headers)
        request = urllib.request.Request(url, data if method == "PUT" else None, headers, method=method)
        tls = None if self.ca_file is None else ssl.create_default_context(cafile=self.ca_file)
        with urllib.request.urlopen(request, context=tls) as answer:
            return answer.read()


@contextmanager
def run_azurite(folder: Path, *, tls: bool = False) -> Iterator[Azurite]:
    """With TLS it takes access tokens too; it looks at their audience and their end, not at their signature."""
    script = CACHE / "node_modules" / "azurite" / "dist" / "src" / "blob" / "main.js"
    if not script.exists():
        leave_out("azurite is missing: run tests/servers/install.sh")
    options = ["--blobHost", "127.0.0.1", "--blobPort", "0", "--inMemoryPersistence", "--disableTelemetry", "--silent"]
    if tls:
        authority = trustme.CA()
        certificate = authority.issue_cert("127.0.0.1")
        authority.cert_pem.write_to_path(folder / "ca.pem")
        certificate.private_key_pem.write_to_path(folder / "key.pem")
        certificate.cert_chain_pems[0].write_to_path(folder / "cert.pem")
        options += ["--cert", "cert.pem", "--key", "key.pem", "--oauth", "basic"]
    with running([program("node"), str(script), *options], folder, {}, lambda: _origin(folder) is not None):
        yield Azurite(f"{_origin(folder)}/{ACCOUNT}", str(folder / "ca.pem") if tls else None)


def _origin(folder: Path) -> str | None:
    found = re.search(r"successfully listens on (\S+)", (folder / "log").read_text())
    return found and found[1]
