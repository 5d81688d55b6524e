"""A command of the shell, run on one sample after another."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count, groupby
from pathlib import Path
from tempfile import TemporaryDirectory

from asyncwds.errors import SampleError, SpecError
from asyncwds.formatting.texts import printable
from asyncwds.runtime.security import secure_mode
from asyncwds.tar.raw import RawMember, RawSample, new_member

_SHOWN = 500  # characters of what a command that failed said last


@dataclass(frozen=True)
class Command:
    """A command, and how a sample comes to it.

    text       for the shell
    base       it finds the fields as files `sample.jpg`, … in a folder of its own, and those that it leaves there are the sample;
               this is "sample"
    many       it leaves files `sample-NAME.jpg`, …: a sample for each name. Its key is what is in `sample-NAME.__key__`, or else
               KEY/NAME
    stdin      the field that it gets on its standard input, in place of files
    stdout     the field that its standard output becomes, in place of files
    timeout    [s]
    log_field  field that gets what it says on standard output and error; without it that goes to standard error
    environment  more variables, beside WDS_KEY and WDS_SHARD

    Raises SpecError for what makes no sense, and in secure mode.
    """

    text: str
    base: str = "sample"
    many: bool = False
    stdin: str | None = None
    stdout: str | None = None
    timeout: float | None = None
    log_field: str | None = None
    environment: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if secure_mode():
            raise SpecError("commands are refused, because WDS_SECURE is set")
        if not self.base or "/" in self.base or "." in self.base:
            raise SpecError(f"the base of file names has no dot and no slash: {self.base!r}")
        if self.many and (self.stdin or self.stdout):
            raise SpecError("a command that makes many samples leaves files: it has no stdin and stdout fields")


class CommandRunner:
    """Runs a command for samples, on several threads at once."""

    def __init__(self, command: Command) -> None:
        self._command = command
        self._running: set[subprocess.Popen[bytes]] = set()
        self._stopped = False

    def __call__(self, sample: RawSample) -> list[RawSample]:
        """The samples that it makes of one; members that it does not change are copied byte by byte.

        Raises SampleError where it fails, or takes too long.
        """
        command = self._command
        with TemporaryDirectory(prefix="asyncwds-", ignore_cleanup_errors=True) as name:
            folder = Path(name)
            if command.stdin is None:
                for field_name, member in sample.fields().items():
                    (folder / f"{command.base}.{field_name}").write_bytes(member.read())
            output, log = self._run(sample, folder)
            made = _made(command, sample, folder, output)
        if command.log_field is not None:
            made = [_with_field(one, command.log_field, log) for one in made]
        return made

    def stop(self) -> None:
        """Ends what is running, with all that it started; calls that come now begin nothing."""
        self._stopped = True
        for process in list(self._running):
            _kill(process)

    def _run(self, sample: RawSample, folder: Path) -> tuple[bytes, bytes]:
        """What it writes to standard output, and what it says."""
        process = self._start(sample, folder)
        try:
            output, errors = process.communicate(_input(self._command, sample), self._command.timeout)
        except subprocess.TimeoutExpired as error:
            message = f"the command took longer than {self._command.timeout:g} s"
            raise SampleError(message, url=sample.url, key=sample.key) from error
        finally:
            _kill(process)
            process.wait()
            self._running.discard(process)
            for stream in (process.stdin, process.stdout, process.stderr):
                if stream is not None:
                    stream.close()
        log = (output if self._command.stdout is None else errors) or b""
        if process.returncode:
            raise SampleError(_failure(process.returncode, log), url=sample.url, key=sample.key)
        return output or b"", log

    def _start(self, sample: RawSample, folder: Path) -> subprocess.Popen[bytes]:
        if self._stopped:
            raise SampleError("it was stopped", url=sample.url, key=sample.key)
        command = self._command
        if "\0" in sample.key:
            message = "the key has a zero byte, which WDS_KEY cannot have"
            raise SampleError(message, url=sample.url, offset=sample.offset, key=sample.key)
        logged = subprocess.PIPE if command.log_field is not None else None
        process = subprocess.Popen(  # noqa: S602 - a shell is what it is for
            command.text,
            shell=True,
            cwd=folder,
            env={**os.environ, "WDS_KEY": sample.key, "WDS_SHARD": sample.url, **command.environment},
            stdin=subprocess.DEVNULL if command.stdin is None else subprocess.PIPE,
            stdout=subprocess.PIPE if command.stdout is not None else logged or sys.stderr.fileno(),
            stderr=logged if command.stdout is not None or logged is None else subprocess.STDOUT,
            start_new_session=True,  # to end all that it started
        )
        self._running.add(process)
        self._end_if_stopped(process)  # `stop` may have looked before it was there
        return process

    def _end_if_stopped(self, process: subprocess.Popen[bytes]) -> None:
        if self._stopped:
            _kill(process)


def _kill(process: subprocess.Popen[bytes]) -> None:
    """With what it started; of a command that has ended nothing is left but what it put into the background."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)


def _made(command: Command, sample: RawSample, folder: Path, output: bytes) -> list[RawSample]:
    if command.many:
        return list(_many(command, sample, folder))
    if command.stdout is not None:
        return [_with_field(sample, command.stdout, output)]
    if command.stdin is not None:
        return [sample]
    members = _read_back(sample.fields(), sample.key, folder, f"{command.base}.")
    return [sample._replace(members=members)] if members else []


def _failure(status: int, log: bytes) -> str:
    what = f"was ended by signal {-status}" if status < 0 else f"failed with exit status {status}"
    said = log.decode("utf-8", "replace").strip()[-_SHOWN:]
    return f"the command {what}" + (f": {printable(said)}" if said else "")


def _input(command: Command, sample: RawSample) -> bytes | None:
    if command.stdin is None:
        return None
    member = sample.fields().get(command.stdin)
    if member is None:
        raise SampleError(f"there is no field {command.stdin}, but {', '.join(sample.fields())}", url=sample.url, key=sample.key)
    return member.read()


def _with_field(sample: RawSample, name: str, value: bytes) -> RawSample:
    """With a field added behind the others, or in place of the one that it had."""
    fields = dict(sample.fields())
    fields[name] = new_member(f"{sample.key}.{name}", name, value)
    return sample._replace(members=tuple(fields.values()))


def _many(command: Command, sample: RawSample, folder: Path) -> Iterator[RawSample]:
    files = sorted(path.name for path in folder.glob(f"{command.base}-*.*"))
    for stem, _ in groupby(files, lambda name: name.partition(".")[0]):
        name = stem[len(command.base) + 1 :]
        key_file = folder / f"{stem}.__key__"
        key = key_file.read_text("utf-8", "surrogateescape").strip() if key_file.exists() else f"{sample.key}/{name}"
        key_file.unlink(missing_ok=True)
        members = _read_back({}, key, folder, f"{stem}.")
        if members:
            yield sample._replace(key=key, members=members)


def _read_back(had: Mapping[str, RawMember], key: str, folder: Path, prefix: str) -> tuple[RawMember, ...]:
    """The files of a sample, in the order that they had, and then by name."""
    found = {path.name[len(prefix) :]: path for path in folder.iterdir() if path.name.startswith(prefix) and path.is_file()}
    order = dict(zip(had, count(), strict=False))
    members = []
    for name in sorted(found, key=lambda name: (order.get(name, len(order)), name)):
        value = found[name].read_bytes()
        same = name in had and had[name].size == len(value) and had[name].read() == value
        members.append(had[name] if same else new_member(f"{key}.{name}", name, value))
    return tuple(members)
