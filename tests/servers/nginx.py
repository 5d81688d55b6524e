"""A real nginx on free loopback ports, for what only a production server shows. `install.sh` beside this file installs it."""

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path

import trustme
from processes import leave_out

# One worker, nothing outside the prefix folder. Each location serves the same files in another way.
CONFIG = """
daemon off;
worker_processes 1;
{user}
pid nginx.pid;
error_log error.log warn;
events {{ worker_connections 256; }}
http {{
    client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi; scgi_temp_path scgi;
    log_format line '$connection $status $request_method $uri';
    access_log access.log line;
    autoindex off;
    limit_req_zone $binary_remote_addr zone=requests:1m rate=10r/s;
    limit_req_status 429;
    limit_conn_zone $binary_remote_addr zone=connections:1m;
    limit_conn_status 503;
    server {{
        listen {plain};
        listen {tls} ssl;
        ssl_certificate server.pem;
        ssl_certificate_key server.key;
        location /plain/ {{ alias files/; }}
        location /no-ranges/ {{ alias files/; max_ranges 0; }}
        location /index/ {{ alias files/; autoindex on; }}
        location /slow/ {{ alias files/; limit_rate 400k; }}
        location /one-request-each-100-ms/ {{ alias files/; limit_req zone=requests; }}
        location /one-connection/ {{ alias files/; limit_conn connections 1; limit_rate 400k; }}
        location /closed/ {{ return 444; }}
        location /writable/ {{ alias files/; dav_methods PUT; create_full_put_path on; client_max_body_size 0; }}
        location /writable-1m/ {{ alias files/; dav_methods PUT; client_max_body_size 1m; }}
        location /moved/ {{ rewrite ^/moved/(.*)$ /plain/$1 redirect; }}
    }}
}}
"""


@dataclass(frozen=True)
class Nginx:
    """`files` is the folder it serves; `ca_file` the certificate (PEM) that signed the one of its TLS port."""

    prefix: Path
    plain: str
    tls: str

    @property
    def files(self) -> Path:
        return self.prefix / "files"

    @property
    def ca_file(self) -> str:
        return str(self.prefix / "ca.pem")

    def url(self, location: str, name: str) -> str:
        return f"http://{self.plain}/{location}/{name}"

    def tls_url(self, location: str, name: str) -> str:
        return f"https://{self.tls}/{location}/{name}"

    def requests(self) -> list[tuple[int, int, str]]:
        """(connection number, status, method and path) of each request answered so far."""
        lines = (self.prefix / "access.log").read_text().splitlines()
        return [(int(connection), int(status), request) for connection, status, request in (line.split(" ", 2) for line in lines)]


def _listener() -> socket.socket:
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(128)
    return listener


def _address(listener: socket.socket) -> str:
    host, port = listener.getsockname()
    return f"{host}:{port}"


def _write_certificates(prefix: Path) -> None:
    authority = trustme.CA()
    certificate = authority.issue_cert("127.0.0.1")
    authority.cert_pem.write_to_path(prefix / "ca.pem")
    certificate.private_key_pem.write_to_path(prefix / "server.key")
    for blob in certificate.cert_chain_pems:
        blob.write_to_path(prefix / "server.pem", append=True)


def _await_first_answer(server: Nginx) -> None:
    # Until then a SIGTERM would find no handler. Should nginx have died, the connection is reset.
    with closing(HTTPConnection(server.plain, timeout=10)) as connection:
        connection.request("GET", "/plain/")
        connection.getresponse().read()


@contextmanager
def run_nginx(prefix: Path) -> Iterator[Nginx]:
    command = shutil.which("nginx", path=os.environ["PATH"] + ":/usr/sbin")
    if command is None:
        leave_out("nginx is missing: run tests/servers/install.sh")
    (prefix / "files").mkdir()
    _write_certificates(prefix)
    # The ports are bound here and inherited (nginx's own way of replacing its binary under load): no other process can
    # take them in between, and a connection made before nginx is up waits in the backlog.
    with _listener() as plain, _listener() as tls:
        server = Nginx(prefix, _address(plain), _address(tls))
        # Started by root, the worker would become `nobody`, who may not enter the folders that pytest makes.
        user = "user root;" if os.getuid() == 0 else ""
        (prefix / "nginx.conf").write_text(CONFIG.format(plain=server.plain, tls=server.tls, user=user))
        descriptors = (plain.fileno(), tls.fileno())
        process = subprocess.Popen(
            [command, "-p", str(prefix), "-c", "nginx.conf", "-e", "error.log"],
            env={**os.environ, "NGINX": "".join(f"{descriptor};" for descriptor in descriptors)},
            pass_fds=descriptors,
        )
    try:
        _await_first_answer(server)
        yield server
    finally:
        process.terminate()
        assert process.wait(timeout=10) == 0, (prefix / "error.log").read_text()
