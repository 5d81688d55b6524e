"""Fields of samples as files in a folder."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from asyncwds.errors import SampleError
from asyncwds.storage.local.readiness import translate_os_error
from asyncwds.tar.raw import RawSample


def write_fields(sample: RawSample, folder: Path, force: bool) -> int:
    """Writes KEY.FIELD for each, and returns how many.

    Raises SampleError for names that lead out of the folder, or are taken, and FetchError where a file cannot be written: it is
    not there then.
    """
    for field, member in sample.fields().items():
        path = _inside(sample, folder, f"{sample.key}.{field}")
        data = member.read()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("wb" if force else "xb") as file, _whole_or_not(path):
                file.write(data)
                file.flush()
        except FileExistsError as error:
            raise SampleError(f"there is a file {path} already", url=sample.url, key=sample.key) from error
        except OSError as error:
            raise translate_os_error(error, str(path)) from error
    return len(sample.fields())


@contextmanager
def _whole_or_not(path: Path) -> Iterator[None]:
    try:
        yield
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def _inside(sample: RawSample, folder: Path, name: str) -> Path:
    parts = name.split("/")
    if name.startswith("/") or ".." in parts or "\0" in name:
        raise SampleError(f"{name!r} is no path within a folder", url=sample.url, key=sample.key)
    path = folder.joinpath(*parts)
    # A link that stands in the folder may lead elsewhere.
    if not path.parent.resolve().is_relative_to(folder.resolve()):
        raise SampleError(f"{name!r} leads out of the folder by a link", url=sample.url, key=sample.key)
    return path
