"""A server that is not installed: its tests are skipped, or errors where `CI=true`."""

from pathlib import Path

import pytest
from azurite import run_azurite
from processes import program


@pytest.mark.parametrize(
    ("ci", "outcome"), [(None, pytest.skip.Exception), ("", pytest.skip.Exception), ("true", pytest.fail.Exception)]
)
def test_a_program_that_is_not_there(monkeypatch, ci, outcome):
    monkeypatch.delenv("CI", raising=False)
    if ci is not None:
        monkeypatch.setenv("CI", ci)
    with pytest.raises(outcome, match=r"no-such-server is missing: it is installed by the dependencies in tox\.ini"):
        program("no-such-server")


def test_azurite_says_how_it_is_installed(monkeypatch, tmp_path):
    monkeypatch.setattr("azurite.CACHE", Path(tmp_path))
    monkeypatch.delenv("CI", raising=False)
    with (
        pytest.raises(pytest.skip.Exception, match="azurite is missing: run tests/servers/install.sh"),
        run_azurite(tmp_path),
    ):
        pass
