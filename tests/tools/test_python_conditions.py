"""`--py module:function`: samples are kept for which a function returns True."""

import textwrap

import click.testing
import pytest

from asyncwds.cli import main
from asyncwds.errors import SampleError, SpecError
from asyncwds.testing import make_shard
from asyncwds.tools import Inputs, Outputs, Selection, filter_samples

FUNCTIONS = """
import numpy as np

def even(sample):
    return int(sample["txt"]) % 2 == 0

def even_by_numpy(sample):
    return np.bool_(int(sample["txt"]) % 2 == 0)

def even_by_key(sample):
    return int(sample.pop("__key__")) % 2 == 0 and sample["__url__"].endswith("in.tar")

def forgets(sample):
    int(sample["txt"])

def fails(sample):
    return 1 // (int(sample["txt"]) - 3) != 0

async def later(sample):
    return True
"""


@pytest.fixture
def keep(tmp_path):
    (tmp_path / "conditions_in_python.py").write_text(textwrap.dedent(FUNCTIONS))
    (tmp_path / "in.tar").write_bytes(make_shard([{"__key__": f"{n}", "txt": f"{n}".encode()} for n in range(8)]))

    def keep(name, on_error="fail", **selection):
        inputs = Inputs(urls=[str(tmp_path / "in.tar")], on_error=on_error)
        chosen = Selection(py=f"{tmp_path}/conditions_in_python.py:{name}", **selection)
        return filter_samples(inputs, Outputs(target=str(tmp_path / "out.tar"), force=True), chosen)

    return keep


@pytest.mark.parametrize("name", ["even", "even_by_numpy", "even_by_key"])
def test_samples_for_which_it_returns_true(keep, name):
    report = keep(name, where="key != '0'", limit=2)
    assert (report.samples_in, report.samples_out, dict(report.dropped)) == (5, 2, {"where": 1, "py": 2})


@pytest.mark.parametrize(("name", "words"), [("fails", "raised ZeroDivisionError"), ("forgets", "returned NoneType, not True")])
def test_errors_name_shard_and_key(keep, name, words):
    with pytest.raises(SampleError, match=f"{words}.*in.tar.*key=") as caught:
        keep(name)
    assert caught.value.key == ("3" if name == "fails" else "0")
    assert keep(name, "skip").dropped["damaged"] == (1 if name == "fails" else 8)


@pytest.mark.parametrize("name", ["later", "nothing"])
def test_functions_that_are_no_condition(keep, name):
    with pytest.raises(SpecError):
        keep(name)


def test_on_the_command_line(keep, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = click.testing.CliRunner().invoke
    options = ["in.tar", "--dry-run", "--json"]
    assert '"py": 4' in run(main, ["filter", *options, "--py", "conditions_in_python:even"]).stdout
    conditions = ["--where-py", "conditions_in_python:even", "--py", "conditions_in_python:even"]
    assert '"dropped": {"damaged": 4, "py": 4}' in run(main, ["map", *options, *conditions, "--on-error", "skip"]).stdout


@pytest.mark.parametrize("name", ["select.py", "with.dot.py", "a-b.py"])
def test_a_file_is_that_file_whatever_else_has_its_name(keep, tmp_path, name):
    del keep
    (tmp_path / name).write_text("def first(sample):\n    return int(sample['txt']) < 3\n")
    inputs, outputs = Inputs(urls=[str(tmp_path / "in.tar")]), Outputs(target=str(tmp_path / "out.tar"))
    assert filter_samples(inputs, outputs, Selection(py=f"{tmp_path / name}:first")).samples_out == 3


def test_files_of_the_same_name_in_two_folders(keep, tmp_path):
    del keep
    inputs, kept = Inputs(urls=[str(tmp_path / "in.tar")]), []
    for folder, number in (("one", 2), ("two", 5)):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "of_two_folders.py").write_text(f"def first(sample):\n    return int(sample['txt']) < {number}\n")
        chosen = Selection(py=f"{tmp_path}/{folder}/of_two_folders.py:first")
        kept.append(filter_samples(inputs, Outputs(target=str(tmp_path / f"{folder}.tar")), chosen).samples_out)
    assert kept == [2, 5]
