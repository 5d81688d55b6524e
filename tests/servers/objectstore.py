"""What the tests know of an S3-compatible server that is running, and a second client to look into it with: botocore's."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from asyncwds import S3


class Identity(NamedTuple):
    access_key: str
    secret_key: str


ADMIN = Identity("AKTEST", "SKTESTSKTEST")
READER = Identity("AKREADER", "SKREADERSKREADER")  # may read and list
NOBODY = Identity("AKNOBODY", "SKNOBODYSKNOBODY")  # is not known


@dataclass(frozen=True)
class ObjectStore:
    """`url` is its endpoint, `bucket` one that is there; `tls_url` and `ca_file` (PEM) where it has a port for TLS."""

    url: str
    bucket: str
    tls_url: str = ""
    ca_file: Path = Path()

    @cached_property
    def client(self) -> Any:
        """Making it takes longer than most tests."""
        import botocore.session
        from botocore.config import Config

        config = Config(s3={"addressing_style": "path"}, retries={"max_attempts": 1}, signature_version="s3v4")
        return botocore.session.Session().create_client(
            "s3",
            region_name="us-east-1",
            endpoint_url=self.url,
            aws_access_key_id=ADMIN.access_key,
            aws_secret_access_key=ADMIN.secret_key,
            config=config,
        )

    def settings(self, identity: Identity = ADMIN, **other: Any) -> S3:
        return S3(endpoint=self.url, access_key=identity.access_key, secret_key=identity.secret_key, **other)

    @contextmanager
    def asked(self) -> Iterator[Any]:
        """The client, for one request: it keeps no connection, which tests that look for leaks would find."""
        yield self.client
        self.client.close()

    def put(self, key: str, data: bytes, bucket: str | None = None) -> str:
        """Stores an object; returns its s3:// url."""
        bucket = bucket or self.bucket
        with self.asked() as client:
            client.put_object(Bucket=bucket, Key=key, Body=data)
        return f"s3://{bucket}/{key}"

    def get(self, key: str) -> bytes:
        with self.asked() as client:
            data: bytes = client.get_object(Bucket=self.bucket, Key=key)["Body"].read()
        return data

    def keys(self, prefix: str) -> list[str]:
        with self.asked() as client:
            found = client.list_objects_v2(Bucket=self.bucket, Prefix=prefix)
        return [item["Key"] for item in found.get("Contents", [])]

    def unfinished_uploads(self, prefix: str) -> list[str]:
        """Keys of multipart uploads that are neither complete nor aborted."""
        with self.asked() as client:
            found = client.list_multipart_uploads(Bucket=self.bucket)
        return [upload["Key"] for upload in found.get("Uploads", []) if upload["Key"].startswith(prefix)]
