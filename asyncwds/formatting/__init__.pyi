# What others use of this room; `__init__.py` makes the lazy names from it.

from .escaping import escape as escape
from .escaping import printable as printable
from .reprs import show_value as show_value
