"""One file for each peer, which runs in the peer's environment and imports nothing of asyncwds (but for its own).

A function takes the world and gives an iterable: `samples` of mappings from fields to bytes, `batches` and `crops` of arrays
(number, height, width, 3) of bytes, `fields` of batches of several arrays. What is imported and started before the clock is up to
the module: its imports, and `start(world)` where there is one. `convert(world)` writes the peer's own format.
"""
