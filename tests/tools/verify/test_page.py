"""The page that explains the rules, kept in step with their table."""

from pathlib import Path

from asyncwds.tools import RULES

PAGE = Path(__file__).parents[3] / "docs" / "verify.md"


def test_the_page_has_each_rule_as_the_table_has_it():
    rows = [line for line in PAGE.read_text().splitlines() if line.startswith("| W")]
    assert rows == [
        f"| {number} | {rule.name} ({rule.severity}) | {rule.meaning} | {rule.remedy} |" for number, rule in RULES.items()
    ]
