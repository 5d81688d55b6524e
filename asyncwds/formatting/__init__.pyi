# What others use of this room; `__init__.py` makes the lazy names from it.

from .texts import escape as escape
from .texts import printable as printable
from .texts import show_value as show_value
