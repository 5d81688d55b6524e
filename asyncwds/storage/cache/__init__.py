"""A folder that keeps what comes from elsewhere, shared by the processes of a machine.

fetcher       `CachingFetcher`: whole shard, download, or neither?
complete      a body of a shard that is there: from its file
download      a body of one that is not: from the file, the source, or both; partial_writer writes what comes
partial_file  a download: a file with holes, its journal, its locks; downloads: those that an iterator has open
folder        which shards there are, when they were used, what has to go
journal, names, checks      no state: lines of a journal, names of shards, whether a file is one
threads, health             how blocking calls are run, and what happens when they fail
"""

from __future__ import annotations

from asyncwds.storage.cache.fetcher import CachingFetcher

__all__ = ["CachingFetcher"]
