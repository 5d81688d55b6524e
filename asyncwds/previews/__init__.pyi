# What others use of this room; `__init__.py` makes the lazy names from it.

from .colours import choose_map as choose_map
from .colours import colour as colour
from .facts import describe_field as describe_field
from .kinds import kind_of as kind_of
from .pictures import draw as draw
from .preview import FieldPreview as FieldPreview
from .preview import preview_field as preview_field
from .texts import read_text as read_text
from .values import describe_value as describe_value
