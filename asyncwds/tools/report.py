"""What became of the samples: none is lost in silence.

Every tool counts what it reads and what it writes in a `Report`, and ends with `Report.check`: samples in, and made of others, =
samples out + dropped, each with its reason. `status` is the exit status of a command.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from asyncwds.errors import LostSamplesError, NoSuchSampleError, SampleError, SpecError, TarError, redact
from asyncwds.formatting.texts import plural

OK, USAGE, DATA, IO, PARTIAL, INTERRUPTED, UNREAD, TERMINATED = 0, 1, 2, 3, 4, 130, 141, 143
"""Exit statuses: done; no such command; the data are wrong; reading or writing failed; done without what was damaged; Ctrl-C;
nobody reads standard output any more; SIGTERM.
"""


@dataclass
class Report:
    """samples_in     samples read
    samples_out    samples written, or shown
    dropped        samples that were not wanted, by reason
    left_out       members that belong to no sample and entries that are no files, which no reader gives out, by reason
    damaged        errors that were passed over: samples behind them may be missing
    renumbered     samples that got another key, as the one before had the same
    made           samples that came of one beside the first
    shards         what was written: url, samples, bytes, sha256
    notes          what else a tool has to say, by name
    """

    samples_in: int = 0
    samples_out: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    left_out: Counter[str] = field(default_factory=Counter)
    damaged: list[str] = field(default_factory=list)
    renumbered: int = 0
    made: int = 0
    shards: list[dict[str, Any]] = field(default_factory=list)
    notes: dict[str, Any] = field(default_factory=dict)

    @property
    def status(self) -> int:
        return PARTIAL if self.damaged else OK

    def check(self) -> Report:
        """Raises LostSamplesError unless samples in + made = samples out + dropped."""
        lost = self.samples_in + self.made - self.samples_out - sum(self.dropped.values())
        if lost:
            raise LostSamplesError(f"{lost} of {self.samples_in} samples were neither written nor dropped for a reason")
        return self

    def add(self, other: Report) -> None:
        """What became of other samples."""
        self.samples_in += other.samples_in
        self.samples_out += other.samples_out
        self.renumbered += other.renumbered
        self.made += other.made
        self.dropped.update(other.dropped)
        self.left_out.update(other.left_out)
        self.damaged += other.damaged
        self.shards += other.shards
        self.notes |= other.notes

    @classmethod
    def from_dict(cls, found: Mapping[str, Any]) -> Report:
        """Of what `as_dict` gives."""
        return cls(**{**found, "dropped": Counter(found["dropped"]), "left_out": Counter(found["left_out"])})

    def as_dict(self) -> dict[str, Any]:
        """For JSON, and for others to see: urls are redacted."""
        return {
            "samples_in": self.samples_in,
            "samples_out": self.samples_out,
            "dropped": dict(sorted(self.dropped.items())),
            "left_out": dict(sorted(self.left_out.items())),
            "damaged": self.damaged,
            "renumbered": self.renumbered,
            "made": self.made,
            "shards": [{**shard, "url": redact(shard["url"])} for shard in self.shards],
            "notes": self.notes,
        }

    @staticmethod
    def _shown(value: Any) -> str:
        return ", ".join(map(str, value)) if isinstance(value, list) else str(value)

    def lines(self) -> list[str]:
        """For people."""
        shards = f" in {len(self.shards)} shard{'' if len(self.shards) == 1 else 's'}" if self.shards else ""
        return [
            f"{plural(self.samples_in, 'sample')} in, {self.samples_out} out{shards}",
            *[f"  {number} dropped: {reason}" for reason, number in sorted(self.dropped.items())],
            *[f"  {number} left out: {reason}" for reason, number in sorted(self.left_out.items())],
            *([f"  {self.renumbered} got a new key, as the sample before had the same"] if self.renumbered else []),
            *([f"  {self.made} more were made of those"] if self.made else []),
            *[f"  {name}: {self._shown(value)}" for name, value in self.notes.items()],
            *[f"  damaged: {error}" for error in self.damaged],
        ]


def status_of(error: BaseException) -> int:
    """The exit status for an error."""
    if isinstance(error, KeyboardInterrupt):
        return INTERRUPTED
    if isinstance(error, TarError | SampleError | NoSuchSampleError):  # which are also OSErrors, and KeyErrors
        return DATA
    if isinstance(error, SpecError):  # of a list that is not there, or a file that cannot be written, the system says why
        return IO if isinstance(error.__cause__, OSError) else USAGE
    return IO if isinstance(error, OSError) else DATA
