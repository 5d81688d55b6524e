"""`webdataset.multi`. Without ZeroMQ, so without its sockets: what is here is `MultiLoader`."""

from asyncwds.pipeline.multi import MultiLoader

__all__ = ["MultiLoader"]
