"""The recording of a video, piece by piece."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Any

from asyncwds.codecs.pyav import open_container
from asyncwds.runtime.extras import require_extra


class SoundReader:
    """Reads the first recording of a video from its beginning to its end."""

    def __init__(self, data: bytes) -> None:
        self._frames = self._decoded(data)
        self._samples = require_extra("av", "video").AudioFifo()
        self._ended = False
        self.taken = 0
        """Samples that were read."""

    def output(self, container: Any) -> SoundOutput:
        """Where pieces of it go to. The first frame tells the format."""
        self._fill(1)
        return SoundOutput(self, container, self._samples.sample_rate or 48000, self._samples.layout or "stereo")

    def read(self, count: int) -> Any:
        """The next samples as a frame, fewer at the end; None behind it."""
        if count <= 0:
            return None
        self._fill(count)
        frame = self._samples.read(count, partial=True)
        if frame is not None:
            self.taken += frame.samples
        return frame

    def _fill(self, count: int) -> None:
        while not self._ended and self._samples.samples < count:
            frame = next(self._frames, None)
            if frame is None:
                self._ended = True
            else:
                frame.pts = None  # gaps are not kept
                self._samples.write(frame)

    def _decoded(self, data: bytes) -> Iterator[Any]:
        with open_container(data) as container:
            resampler = require_extra("av", "video").AudioResampler(format="fltp")
            for frame in container.decode(container.streams.audio[0]):
                yield from resampler.resample(frame)
            yield from resampler.resample(None)


class SoundOutput:
    """The recording of a clip."""

    def __init__(self, reader: SoundReader, container: Any, rate: int, layout: Any) -> None:
        self._reader = reader
        self._container = container
        self._rate = rate
        self._stream = container.add_stream("aac", rate=rate, layout=getattr(layout, "name", layout))
        self._begun = 0

    def write_until(self, end: Fraction) -> None:
        """The samples up to a time [s] of the whole video."""
        count = round(end * self._rate) - self._reader.taken
        frame = self._reader.read(count)
        if frame is not None:
            frame.pts, frame.time_base = 0, Fraction(1, self._rate)
            resampler = require_extra("av", "video").AudioResampler(
                format=self._stream.format.name, layout=self._stream.layout.name, rate=self._rate, frame_size=1024
            )
            for piece in [*resampler.resample(frame), *resampler.resample(None)]:
                self._container.mux(self._stream.encode(piece))
        self._container.mux(self._stream.encode(None))
