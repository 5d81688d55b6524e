"""What users compose. What WebDataset's module of this name has is here too: `asyncwds.pipeline.DataPipeline`."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
