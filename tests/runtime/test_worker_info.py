import pytest

from asyncwds import WorkerInfo
from asyncwds.errors import SpecError
from asyncwds.runtime import worker_info_from_environment

NAMES = ("RANK", "WORLD_SIZE", "WORKER", "NUM_WORKERS")


@pytest.fixture(autouse=True)
def _bare(monkeypatch):
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("variables", "place"),
    [
        ({}, WorkerInfo()),
        ({"RANK": "3", "WORLD_SIZE": "8"}, WorkerInfo(3, 8)),
        ({"RANK": "3"}, WorkerInfo()),
        ({"WORKER": "1", "NUM_WORKERS": "2"}, WorkerInfo(0, 1, 1, 2)),
        ({"RANK": "3", "WORLD_SIZE": "8", "WORKER": "1", "NUM_WORKERS": "2"}, WorkerInfo(3, 8, 1, 2)),
        ({"RANK": "3", "WORLD_SIZE": "", "WORKER": "1"}, WorkerInfo()),
    ],
)
def test_the_place_is_what_the_launcher_says(monkeypatch, variables, place):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert worker_info_from_environment() == place


def test_a_rank_that_is_no_number_is_named(monkeypatch):
    monkeypatch.setenv("RANK", "first")
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(SpecError, match="RANK must be a whole number, not 'first'"):
        worker_info_from_environment()
