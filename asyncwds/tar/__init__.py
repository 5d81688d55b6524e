"""The tar format without I/O: bytes of a shard go in, in any chunking; members and samples come out."""
