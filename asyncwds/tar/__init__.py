"""The tar format without I/O: bytes of a shard go in, in any chunking; members and samples come out."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
