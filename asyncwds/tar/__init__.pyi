# What others use of this room; `__init__.py` makes the lazy names from it.

from .building import RECORD as RECORD
from .building import Headers as Headers
from .building import ending as ending
from .grouping import Grouper as Grouper
from .grouping import base_plus_ext as base_plus_ext
from .grouping import is_meta as is_meta
from .grouping import size_of as size_of
from .known_keys import KnownKeys as KnownKeys
from .members import Member as Member
from .members import Refused as Refused
from .parser import TarParser as TarParser
from .raw import RawMember as RawMember
from .raw import RawSample as RawSample
from .raw import new_member as new_member
from .scanner import Scanner as Scanner
from .scanner import find_run_reader as find_run_reader
from .scanner import find_scanner as find_scanner
from .scanner import find_span_scanner as find_span_scanner
from .scanner import find_table_scanner as find_table_scanner
