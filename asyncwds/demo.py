"""A cloud bucket in a box: draws a small data set, serves it like a bucket would, and trains on it. Prints nothing."""

from __future__ import annotations

import io
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice, pairwise
from pathlib import Path
from statistics import fmean
from time import monotonic
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image
    from torch import Tensor, nn, optim

CLASSES = ("circle", "square", "triangle")
SIDE = 192  # [pixels]
SHARDS = 16
FIRST_BYTE_DELAY = 0.05  # [s], what object stores take
BYTES_PER_SECOND = 20e6  # [bytes/s] per connection
BATCH = 32
BATCHES = 300
WARM_UP = 3  # batches


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


def draw_samples(count: int, seed: int) -> Iterator[dict[str, str | bytes]]:
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
        (folder / names[-1]).write_bytes(make_shard(draw_samples(count, seed=shard)))
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


class Trained(NamedTuple):
    """`seconds` [s] for so many batches; loss and accuracy over the last twenty, each before the model has learned from it."""

    batches: int
    seconds: float
    loss: float
    accuracy: float


def train(batches: Iterator[Any], seconds: float, step: Callable[[float, float], object], most: int = BATCHES) -> Trained:
    """Trains a small classifier on `most` batches, or as many as it can in `seconds` [s], and at least one.

    `batches` gives (images [N, 3, H, W] uint8, labels [N]). The first `WARM_UP` do not count: with them torch loads and starts
    what it needs. `step(loss, accuracy)` is called after each of the others, with the means over the last twenty.
    """
    import torch  # noqa: PLC0415 - heavy

    torch.manual_seed(0)
    model = _classifier()
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for images, labels in islice(batches, WARM_UP):
        _learn(model, optimizer, images, labels)
    began, count = monotonic(), 0
    losses, accuracies = deque[float](maxlen=20), deque[float](maxlen=20)
    for images, labels in islice(batches, most):
        loss, accuracy = _learn(model, optimizer, images, labels)
        losses.append(loss)
        accuracies.append(accuracy)
        count += 1
        step(fmean(losses), fmean(accuracies))
        if monotonic() > began + seconds:
            break
    return Trained(count, monotonic() - began, fmean(losses), fmean(accuracies))


def _classifier() -> nn.Module:
    from torch import nn  # noqa: PLC0415 - heavy

    widths = (3, 16, 32, 64)
    layers: list[nn.Module] = [nn.AvgPool2d(4)]
    for inputs, outputs in pairwise(widths):
        layers += [nn.Conv2d(inputs, outputs, 3, padding=1), nn.BatchNorm2d(outputs), nn.ReLU(), nn.MaxPool2d(2)]
    return nn.Sequential(*layers, nn.AdaptiveMaxPool2d(1), nn.Flatten(), nn.Linear(widths[-1], len(CLASSES)))


def _learn(model: nn.Module, optimizer: optim.Optimizer, images: Tensor, labels: Any) -> tuple[float, float]:
    """Loss and accuracy of the batch, before it was learned."""
    from torch import as_tensor, nn  # noqa: PLC0415 - heavy

    targets = as_tensor(labels)
    logits = model(images.float() / 255)
    loss = nn.functional.cross_entropy(logits, targets)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.item(), float((logits.argmax(1) == targets).float().mean())
