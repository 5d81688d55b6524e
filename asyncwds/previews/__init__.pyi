# What others use of this room; `__init__.py` makes the lazy names from it.

from .colours import choose_map as choose_map
from .colours import colour as colour
from .kinds import kind_of as kind_of
from .pictures import draw as draw
from .texts import read_text as read_text
