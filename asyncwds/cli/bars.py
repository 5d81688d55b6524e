"""Log lines and progress bars on one terminal."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tqdm import tqdm


@contextmanager
def warnings_in(bar: tqdm[Any]) -> Iterator[None]:
    """What is logged meanwhile, of servers that don't answer above all, is shown behind the bar and not across it."""

    def show(record: logging.LogRecord) -> bool:
        bar.set_postfix_str(record.getMessage())
        return False

    if bar.disable:
        yield
        return
    logger = logging.getLogger("asyncwds")
    logger.addFilter(show)
    try:
        yield
    finally:
        logger.removeFilter(show)
