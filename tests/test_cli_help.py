"""What `--help` of each command shows: two examples at least, of options that there are."""

import re
import shlex

import click
import pytest
from click.testing import CliRunner
from command_line import run_asyncwds

from asyncwds.cli import main


def command_of(group, name):
    """The command itself; what `main` lists are sentences about its commands."""
    return group.resolve_command(click.Context(group), [name])[1]


def commands(group=main, names=()):
    for name in sorted(group.commands):
        command = command_of(group, name)
        yield (*names, name), command
        if isinstance(command, click.Group):
            yield from commands(command, (*names, name))


def options_of(words):
    """Of the command that the words begin with, and of the groups that it is in."""
    found, command = set(), main
    for word in words:
        if word not in getattr(command, "commands", {}):
            break
        command = command_of(command, word)
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


@pytest.mark.parametrize("name", sorted(main.commands))
def test_what_is_listed_is_what_the_command_says_of_itself(name):
    command = command_of(main, name)
    assert main.commands[name].get_short_help_str(limit=1000) == command.get_short_help_str(limit=1000)
    assert command.name == {"reshard": "split"}.get(name, name)


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("asyncwds sp", ["plain,split"]),
        ("asyncwds cache w", ["plain,warm"]),
        ("asyncwds cat --wi", ["plain,--window", "plain,--within-shard"]),
        ("asyncwds cat a.tar --on-error s", ["plain,skip", "plain,stop"]),
        ("asyncwds cat train/a", ["file,train/a"]),
        ("asyncwds ls s3://bucket/a", ["file,s3://bucket/a"]),
        ("asyncwds split a.tar --map m", ["file,m"]),
        ("asyncwds create a.zip -o o", ["file,o"]),
        ("asyncwds cache ls /da", ["dir,/da"]),
    ],
)
def test_shells_complete_commands_options_and_paths(words, found):
    """As the script that bash loads asks for it."""
    asked = {"_ASYNCWDS_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))}
    assert run_asyncwds(env=asked).stdout.splitlines() == found


@pytest.mark.parametrize(
    ("shell", "line"), [("bash", "complete -o nosort -F"), ("zsh", "#compdef asyncwds"), ("fish", "complete --no-files")]
)
def test_scripts_for_shells(shell, line):
    assert line in run_asyncwds(env={"_ASYNCWDS_COMPLETE": f"{shell}_source"}).stdout
