"""What fields are, for people: pictures, texts, and a line of facts. Of the viewer, and of `show`."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
