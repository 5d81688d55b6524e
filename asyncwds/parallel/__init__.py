"""Work beside the consumer: calls ahead in threads and on loops, and processes that hand batches over through shared memory."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
