"""A cloud bucket in a box: draws a small data set, serves it like a bucket would, and trains on it. Prints nothing."""

from __future__ import annotations

import io
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image

CLASSES = ("circle", "square", "triangle")
SIDE = 192  # [pixels]
SHARDS = 16
FIRST_BYTE_DELAY = 0.05  # [s], what object stores take
BYTES_PER_SECOND = 20e6  # [bytes/s] per connection


def draw(random: np.random.Generator) -> tuple[Image.Image, int]:
    """A shape of random place, size and colour on a noisy ground, and its class."""
    import numpy as np  # noqa: PLC0415 - heavy
    from PIL import Image, ImageDraw  # noqa: PLC0415 - heavy

    label = int(random.integers(len(CLASSES)))
    ground = random.integers(0, 128, (SIDE, SIDE, 3)).astype(np.uint8)
    image = Image.fromarray(ground)
    radius = int(random.integers(SIDE // 8, SIDE // 3))
    x, y = (int(v) for v in random.integers(radius, SIDE - radius, 2))
    colour = tuple(int(v) for v in random.integers(96, 256, 3))
    box = (x - radius, y - radius, x + radius, y + radius)
    pen = ImageDraw.Draw(image)
    if CLASSES[label] == "circle":
        pen.ellipse(box, fill=colour)
    elif CLASSES[label] == "square":
        pen.rectangle(box, fill=colour)
    else:
        pen.polygon([(x, y - radius), (x - radius, y + radius), (x + radius, y + radius)], fill=colour)
    return image, label


def drawn_samples(count: int, seed: int) -> Iterator[dict[str, str | bytes]]:
    """Samples with the fields jpg and cls, the same for the same seed."""
    import numpy as np  # noqa: PLC0415 - heavy

    random = np.random.default_rng(seed)
    for index in range(count):
        image, label = draw(random)
        stream = io.BytesIO()
        image.save(stream, "jpeg", quality=92)
        yield {"__key__": f"{seed:02d}{index:05d}", "jpg": stream.getvalue(), "cls": str(label).encode()}


def make_data(folder: Path, samples: int, made: Callable[[int], object]) -> list[str]:
    """Writes `samples` samples as shards into a folder, calling `made(n)` after each shard. Returns the shards' names."""
    from asyncwds.testing import make_shard  # noqa: PLC0415 - only the demo needs it

    names = []
    for shard in range(SHARDS):
        count = samples // SHARDS + (shard < samples % SHARDS)
        names.append(f"shapes-{shard:03d}.tar")
        (folder / names[-1]).write_bytes(make_shard(drawn_samples(count, seed=shard)))
        made(count)
    return names


@contextmanager
def bucket(folder: Path) -> Iterator[str]:
    """Serves a folder from a process of its own, as slowly per connection as a bucket. Yields the URL."""
    command = [sys.executable, "-m", "asyncwds.testing", str(folder), "--port", "0"]
    command += ["--first-byte-delay", str(FIRST_BYTE_DELAY), "--bytes-per-second", str(BYTES_PER_SECOND)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:  # noqa: S603 - our own
        try:
            assert server.stdout is not None
            yield server.stdout.readline().strip()
        finally:
            server.terminate()


def train(batches: Iterator[Any], seconds: float, step: Callable[[float, float], object]) -> tuple[int, float]:
    """Trains a small classifier for some seconds, calling `step(loss, accuracy)` after each batch.

    `batches` gives (images [N, 3, H, W] uint8, labels [N]). Returns the steps made and the accuracy over the last
    twenty batches, each measured before the model has learned from it.
    """
    import torch  # noqa: PLC0415 - heavy
    from torch import nn  # noqa: PLC0415 - heavy

    torch.manual_seed(0)
    widths = (3, 16, 32, 64)
    layers: list[nn.Module] = [nn.AvgPool2d(4)]
    for inputs, outputs in pairwise(widths):
        layers += [nn.Conv2d(inputs, outputs, 3, padding=1), nn.BatchNorm2d(outputs), nn.ReLU(), nn.MaxPool2d(2)]
    model = nn.Sequential(*layers, nn.AdaptiveMaxPool2d(1), nn.Flatten(), nn.Linear(widths[-1], len(CLASSES)))
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    accuracies: list[float] = []
    end = monotonic() + seconds
    for images, labels in batches:
        targets = torch.as_tensor(labels)
        logits = model(images.float() / 255)
        loss = nn.functional.cross_entropy(logits, targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        accuracies.append(float((logits.argmax(1) == targets).float().mean()))
        step(loss.item(), accuracies[-1])
        if monotonic() > end:
            break
    return len(accuracies), mean_of_last(accuracies, 20)


def mean_of_last(values: Sequence[float], count: int) -> float:
    last = values[-count:]
    return sum(last) / max(1, len(last))
