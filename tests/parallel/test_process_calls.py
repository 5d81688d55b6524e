"""Calls in processes: results as they come, errors with their tracebacks, deaths, and no process that is left."""

import multiprocessing
import textwrap
from contextlib import closing
from importlib import import_module

import pytest

from asyncwds.errors import SpecError, WorkerDiedError
from asyncwds.parallel import call_in_processes, in_order

FUNCTIONS = """
import os, sys, time

def start(number):
    def work(item):
        if item == "fail":
            raise KeyError(f"no {item}")
        if item == "die":
            os.kill(os.getpid(), 9)
        if item == "leave":
            sys.exit(3)
        if item == "hold":
            try:
                time.sleep(60)
            finally:
                open("cleaned up", "w").close()
        while item == "wait" and not os.path.exists("go on"):
            time.sleep(0.01)
        return item * 2, number < 2
    return work

def fails(number):
    raise ValueError("cannot start")
"""


@pytest.fixture
def functions(tmp_path, monkeypatch):
    (tmp_path / "functions_for_calls.py").write_text(textwrap.dedent(FUNCTIONS))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    yield import_module("functions_for_calls")
    assert multiprocessing.active_children() == []


def test_results_with_the_numbers_of_their_items(functions):
    found = dict(call_in_processes(functions.start, list("abcde"), 2, str))
    assert found == {number: (2 * item, True) for number, item in enumerate("abcde")}
    assert list(call_in_processes(functions.start, [], 2, str)) == []


def test_in_order_items_are_taken_a_bounded_number_ahead(functions, tmp_path):
    taken = []
    items = (taken.append(item) or item for item in ["wait", "b", "c", "d"])
    with closing(call_in_processes(functions.start, items, 2, str, ahead=2)) as results:
        assert next(results) == (1, ("bb", True))
        assert taken == ["wait", "b"]
        (tmp_path / "go on").touch()
        rest = [(1, "b"), *[(number, twice[: len(twice) // 2]) for number, (twice, _) in results]]
    assert list(in_order(rest)) == ["wait", "b", "c", "d"] == taken


def test_an_error_comes_with_its_traceback_and_ends_the_others(functions, tmp_path):
    with pytest.raises(KeyError, match="no fail") as caught:
        list(call_in_processes(functions.start, ["hold", "fail"], 2, str))
    assert "functions_for_calls.py" in str(caught.value.__cause__)
    assert "in work" in str(caught.value.__cause__)
    # It may have been ended before it had begun.
    assert {path.name for path in tmp_path.iterdir()} <= {"functions_for_calls.py", "__pycache__", "cleaned up"}


@pytest.mark.parametrize(
    ("item", "words"), [("die", "shard die .*was killed by SIGKILL"), ("leave", "shard leave .*code 3, by sys")]
)
def test_who_dies_is_named(functions, item, words):
    with pytest.raises(WorkerDiedError, match=f"the process for {words}"):
        list(call_in_processes(functions.start, [item], 2, "shard {}".format))


def test_errors_at_the_start(functions):
    with pytest.raises(ValueError, match="cannot start"):
        list(call_in_processes(functions.fails, ["a"], 1, str))


def test_nobody_goes_on(functions, tmp_path):
    with closing(call_in_processes(functions.start, ["a", "hold"], 1, str)) as results:
        assert next(results) == (0, ("aa", True))


def test_a_process_that_imports_its_script_starts_none(functions, monkeypatch):
    monkeypatch.setattr(multiprocessing.process.current_process(), "_inheriting", True, raising=False)
    with pytest.raises(SpecError, match="__main__"):
        list(call_in_processes(functions.start, ["a"], 1, str))
