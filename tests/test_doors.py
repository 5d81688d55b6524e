"""Rooms of the package have a door: the names in its `__init__.pyi`, which other people may use. Most tests go through them."""

import ast
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import asyncwds
from asyncwds.compat import MODULES

PACKAGE = Path(asyncwds.__file__).parent
TESTS = Path(__file__).parent
ROOMS = sorted(stub.parent.name for stub in PACKAGE.glob("*/__init__.pyi"))

# Tests of one module's inner functions import that module. Fewer is better: take the number down with them.
MOST_DEEP_TESTS = 55

IMPORT = re.compile(r"\b(?:from|import) asyncwds\.(\w+)(\.\w+)?(?: import (\([^)]*\)|[\w ,]+))?")


def stated(room):
    tree = ast.parse((PACKAGE / room / "__init__.pyi").read_text())
    return {alias.name: node.module for node in tree.body if isinstance(node, ast.ImportFrom) for alias in node.names}


def modules(room):
    return {path.stem for path in (PACKAGE / room).iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}


def imports_deep(program):
    for room, module, names in IMPORT.findall(program):
        imported = set(re.findall(r"\w+", names)) & (modules(room) if (PACKAGE / room).is_dir() else set())
        public = {"compat": set(MODULES), "testing": {"leaks"}}.get(room, set())  # modules that users may import; a function
        if module or imported - public:
            return True
    return False


@pytest.mark.parametrize("room", ROOMS)
def test_every_name_of_a_door_is_there(room):
    door = import_module(f"asyncwds.{room}")
    assert dir(door) == sorted(stated(room))
    for name, module in stated(room).items():
        assert getattr(door, name) is getattr(import_module(f"asyncwds.{room}.{module}"), name)


@pytest.mark.parametrize("room", ROOMS)
def test_a_name_that_a_door_lacks_is_an_attribute_error(room):
    assert not hasattr(import_module(f"asyncwds.{room}"), "nothing_of_that_name")


@pytest.mark.parametrize("room", ROOMS)
def test_no_name_of_a_door_is_that_of_a_module(room):
    """The module, once imported, would take its place."""
    assert not set(stated(room)) & modules(room)


def test_a_door_imports_nothing_before_a_name_is_used():
    program = f"import sys\nbefore = set(sys.modules)\nfor room in {ROOMS}: __import__('asyncwds.' + room)\n"
    program += "print(*sorted(name for name in set(sys.modules) - before if name.startswith('asyncwds')))"
    done = subprocess.run(
        [sys.executable, "-c", f"import asyncwds\n{program}"], check=True, capture_output=True, text=True, timeout=60
    )
    assert done.stdout.split() == [f"asyncwds.{room}" for room in ROOMS]


def test_the_package_itself_uses_no_doors():
    """Its imports name modules, so that import-linter sees what needs what."""
    for path in PACKAGE.glob("**/*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and (room := (node.module or "").removeprefix("asyncwds.")) in ROOMS:
                assert not {alias.name for alias in node.names} & set(stated(room)), path


@pytest.mark.parametrize(
    ("program", "deep"),
    [
        ("from asyncwds.storage import Fetcher", False),
        ("from asyncwds.storage.base import Fetcher", True),
        ("from asyncwds.storage import base", True),
        ("from asyncwds.storage import (\n    Fetcher,\n    base,\n)", True),
        ("code = 'import asyncwds.storage.base'", True),
        ("from asyncwds.compat import filters", False),
        ("from asyncwds.compat import tar_stages", True),
        ("from asyncwds.testing import leaks", False),
        ("from asyncwds.errors import SpecError", False),
        ("import asyncwds", False),
    ],
)
def test_what_counts_as_a_deep_import(program, deep):
    assert imports_deep(program) == deep


def test_few_tests_import_what_is_behind_a_door():
    deep = sorted(str(path.relative_to(TESTS)) for path in TESTS.glob("**/*.py") if imports_deep(path.read_text()))
    deep.remove("test_doors.py")
    assert len(deep) <= MOST_DEEP_TESTS, "\n".join(
        ["a name that others may use belongs into the `__init__.pyi` of its room:", *deep]
    )
