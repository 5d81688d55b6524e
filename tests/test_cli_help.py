"""What `--help` of each command shows: two examples at least, of options that there are."""

import re
import shlex

import click
import pytest
from click.testing import CliRunner

from asyncwds.cli import main


def commands(command=main, names=()):
    for name, each in sorted(getattr(command, "commands", {}).items()):
        yield (*names, name), each
        yield from commands(each, (*names, name))


def options_of(words):
    """Of the command that the words begin with, and of the groups that it is in."""
    found, command = set(), main
    for word in words:
        command = getattr(command, "commands", {}).get(word)
        if command is None:
            break
        found |= {name for each in command.params if isinstance(each, click.Option) for name in each.opts + each.secondary_opts}
    return found


@pytest.mark.parametrize(("names", "command"), [pytest.param(*each, id=" ".join(each[0])) for each in commands()])
def test_help_shows_two_examples(names, command):
    shown = CliRunner().invoke(main, [*names, "--help"], terminal_width=500).stdout.replace("\\\n", " ")
    named = " ".join([*names[:-1], command.name])  # `reshard` is `split`
    examples = re.findall(rf"^ +asyncwds ({named}(?: .*)?)$", shown, re.MULTILINE)
    assert len(examples) >= 2
    for example in examples:
        words = shlex.split(example.split(" | ")[0])
        assert {word.partition("=")[0] for word in words if re.match("--?[a-zA-Z0]", word)} <= options_of(words), example
