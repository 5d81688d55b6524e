"""Errors survive pickling, and neither they nor descriptions show secrets."""

import logging
import pickle
import traceback

import pytest

import asyncwds as wds
from asyncwds import Http, Retry
from asyncwds.errors import DecodeError, FetchError, SpecError, redact
from asyncwds.testing import Fault, FaultServer

SECRET = "hush-hush"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("http://me:hush@host/a.tar", "http://***@host/a.tar"),
        ("http://me:hu@sh@host/a@b.tar", "http://***@host/a@b.tar"),
        ("sftp://me@host/a.tar", "sftp://***@host/a.tar"),
        ("abfss://container@account.dfs.core.windows.net/a", "abfss://container@account.dfs.core.windows.net/a"),
        ("s3://bucket/a@b?c=d", "s3://bucket/a@b?c=d"),
        ("http://h/a?X-Amz-Signature=hush&x=1", "http://h/a?X-Amz-Signature=***&x=1"),
        ("http://h/a?md5=hush&expires=3", "http://h/a?md5=***&expires=3"),
        ("http://h/a?x=1&auth=hush", "http://h/a?x=1&auth=***"),
        ("http://h/a?AWSAccessKeyId=hush&Policy=hush", "http://h/a?AWSAccessKeyId=***&Policy=***"),
        ("http://h/a?pwd=hush http://me:hush@h", "http://h/a?pwd=*** http://***@h"),
        ("pipe:curl -H 'Authorization: Bearer hush' http://h/a", "pipe:curl -H 'Authorization: Bearer ***' http://h/a"),
        ("pipe:curl -H Authorization:hush http://h/a", "pipe:curl -H Authorization:*** http://h/a"),
        ("pipe:curl -H 'X-Api-Key: hush' http://h/a", "pipe:curl -H 'X-Api-Key: ***' http://h/a"),
        ("pipe:curl -u me:hush http://h/a", "pipe:curl -u me:*** http://h/a"),
        ("pipe:curl --user 'me:hush' http://h/a", "pipe:curl --user 'me:***' http://h/a"),
        ("pipe:AWS_SECRET_ACCESS_KEY=hush aws s3 cp s3://b/a -", "pipe:AWS_SECRET_ACCESS_KEY=*** aws s3 cp s3://b/a -"),
        ("pipe:wget --password=hush -O - http://h/a", "pipe:wget --password=*** -O - http://h/a"),
        ("no secret in 'a=b', key=000001 (url=s3://b/a)", "no secret in 'a=b', key=000001 (url=s3://b/a)"),
    ],
)
def test_what_is_not_shown(text: str, shown: str) -> None:
    assert redact(text) == shown
    assert redact(shown) == shown
    assert SpecError("no", url=text).url == shown


def test_only_a_traceback_of_a_worker_has_lines() -> None:
    passed_on = "Caught SpecError in DataLoader worker process 0.\nOriginal Traceback (most recent call last):\nSpecError: \x1b[31m"
    assert str(SpecError(passed_on)).splitlines() == [*passed_on.splitlines()[:2], r"SpecError: \x1b[31m"]
    assert str(SpecError(f"the server says {passed_on}")).count("\n") == 0


def test_errors_survive_pickling() -> None:
    error = pickle.loads(pickle.dumps(FetchError("no", url="http://me:hush@h/a", offset=5, status=503, attempts=3, retryable=True)))
    assert str(error) == "no (url=http://***@h/a, offset=5), after 3 attempts"
    assert (error.status, error.retryable) == (503, True)
    undecodable = DecodeError("no")
    undecodable.field, undecodable.sample = "jpg", {"jpg": b"large"}
    again = pickle.loads(pickle.dumps(undecodable))
    assert (again.field, again.sample) == ("jpg", None)


def datasets(origin: str) -> dict[str, wds.WebDataset | wds.DataPipeline]:
    """Each has the secret somewhere, and fails."""
    login = origin.replace("//", f"//me:{SECRET}@")
    urls = {
        "user": f"{login}a.tar",
        "signature": f"{origin}a.tar?X-Amz-Signature={SECRET}",
        "secure_link": f"{origin}a.tar?md5={SECRET}&expires=1",
        "header": f"pipe:curl -sf -H 'Authorization: Bearer {SECRET}' {origin}a.tar",
        "variable": f"pipe:MY_TOKEN={SECRET} false",
    }
    endpoint = origin.rstrip("/")
    settings = {
        "s3": wds.S3(endpoint=endpoint, access_key="AK", secret_key=SECRET, session_token=SECRET),
        "gs": wds.GCS(endpoint=endpoint, get_token=lambda: (SECRET, 1e12)),
        "az": wds.Azure(endpoint=f"{endpoint}/account", sas_token=f"sv=1&sig={SECRET}"),
        "az ": wds.Azure(endpoint=f"{endpoint}/account", account_key=f"{SECRET}!"),
        "hf": wds.HuggingFace(endpoint=endpoint, token=SECRET),
        "ais": wds.AIStore(endpoint=endpoint, token=SECRET),
    }
    retry = Retry(tries=1)
    found: dict[str, wds.WebDataset | wds.DataPipeline] = {name: wds.WebDataset(url, retry=retry) for name, url in urls.items()}
    for scheme, stored in settings.items():
        url = f"{scheme.strip()}://datasets/u/n/a.tar"
        found[f"{scheme}:"] = wds.WebDataset(url, retry=retry, storage={f"{scheme.strip()}://": stored})
    headers = {origin: {"Authorization": f"Bearer {SECRET}"}}
    found["headers"] = wds.WebDataset(f"{origin}a.tar", retry=retry, http=Http(headers=headers))
    found["proxy"] = wds.WebDataset("http://h/a", retry=retry, http=Http(proxy=login))
    found["pipeline"] = wds.DataPipeline(wds.SimpleShardList([f"{login}a.tar"] * 2), wds.tarfile_to_samples(retry=retry))
    found["resampled"] = wds.DataPipeline(wds.ResampledShards([f"{login}a.tar"]), wds.tarfile_to_samples(retry=retry))
    return found


@pytest.mark.needs("botocore")
def test_secrets_are_in_no_error_no_log_and_no_description(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with FaultServer({}, faults=[Fault(status=403)]) as server:
        for name, dataset in datasets(server.url()).items():
            with pytest.raises((FetchError, SpecError)) as caught:
                list(dataset)
            told = [repr(dataset), repr(dataset.stats()), "".join(traceback.format_exception(caught.value))]
            told += [repr(caught.value.__dict__), repr(pickle.dumps(caught.value)), caplog.text]
            assert not [text for text in told if SECRET in text], name


@pytest.mark.parametrize("kind", [wds.S3, wds.GCS, wds.Azure, wds.HuggingFace, wds.AIStore])
def test_an_endpoint_has_no_password_in_it(kind: type) -> None:
    with pytest.raises(SpecError, match="no user and password") as caught:
        kind(endpoint=f"http://me:{SECRET}@host")
    assert SECRET not in str(caught.value)
