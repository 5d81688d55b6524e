"""Work beside the loop: processes that run a whole pipeline, and hand batches over through shared memory."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
