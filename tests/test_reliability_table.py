"""docs/reliability.md names tests; they are there, and no fault is missing."""

import re
from pathlib import Path

TESTS = Path(__file__).parent
PAGE = (TESTS.parent / "docs" / "reliability.md").read_text()
ROWS = re.findall(r"^\| (\d+) \|.*\| ([^|]+) \|$", PAGE, re.MULTILINE)


def test_every_fault_has_a_row() -> None:
    assert [int(number) for number, _ in ROWS] == [*range(1, 41), 46, 47]


def test_every_row_names_a_test_that_bears_its_number() -> None:
    without = [number for number, tests in ROWS if not re.search(rf"`test_(?:fault_)?(?:\d\d_)*{int(number):02}_\w+`", tests)]
    assert without == []


def test_every_row_names_tests_that_exist() -> None:
    there = {name for path in TESTS.rglob("test_*.py") for name in re.findall(r"def (test_\w+)", path.read_text())}
    named = {number: re.findall(r"`(test_\w+)`", tests) for number, tests in ROWS}
    assert [number for number, tests in named.items() if not tests] == []
    assert {name for tests in named.values() for name in tests} - there == set()
