"""Text from outside, for terminals and logs.

Names in shards, answers of servers and what commands say may hold anything: sequences that a terminal obeys, line ends that
forge a line of a log, characters that turn the direction of writing around, halves of surrogate pairs that no stream takes.
"""

from __future__ import annotations


def printable(text: str) -> str:
    r"""The text, with what is not printable written as Python writes it in a string: `\n`, `\x1b`, `\u202e`.

    A backslash stays one, so that text in which something is escaped already, as by `repr`, can be part of it; and what is
    escaped twice is not changed by the second time.
    """
    return text if text.isprintable() else "".join([char if char.isprintable() else repr(char)[1:-1] for char in text])


def escape(name: str) -> str:
    r"""As `printable`, with each backslash as two: no two names look alike."""
    return printable(name.replace("\\", "\\\\"))
