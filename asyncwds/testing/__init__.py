"""For tests of code that reads shards: shards made to order, a server that misbehaves at an exact byte, and checks.

    make_shard, make_pieces, make_samples, write_shards, digest     shards, and samples to compare
    FaultServer, Fault, ForwardProxy                                 servers, each in a thread of its own
    FaultProfile, GOOD_DAY, BAD_DAY                                  faults by chance
    check_fetcher, CHECKS, read                                      what every Fetcher must do
    leaks                                                            nothing is left behind
    SimulatedLink, LinkModel, read_simulated, run_in_virtual_time    links in a time that is not real

Needs no test framework and nothing beyond the standard library.
"""

from __future__ import annotations

from asyncwds.testing.conformance import CHECKS, check_fetcher, read
from asyncwds.testing.fault_profile import BAD_DAY, GOOD_DAY, FaultProfile
from asyncwds.testing.faults import Fault
from asyncwds.testing.leaks import leaks
from asyncwds.testing.proxy import ForwardProxy
from asyncwds.testing.replies import Request
from asyncwds.testing.server import FaultServer
from asyncwds.testing.server_counters import ServerCounters
from asyncwds.testing.shards import digest, make_pieces, make_samples, make_shard, write_shards
from asyncwds.testing.simulated_link import LinkModel, SimulatedLink, SimulatedRead, read_simulated
from asyncwds.testing.virtual_time import run_in_virtual_time

__all__ = [
    "BAD_DAY",
    "CHECKS",
    "GOOD_DAY",
    "Fault",
    "FaultProfile",
    "FaultServer",
    "ForwardProxy",
    "LinkModel",
    "Request",
    "ServerCounters",
    "SimulatedLink",
    "SimulatedRead",
    "check_fetcher",
    "digest",
    "leaks",
    "make_pieces",
    "make_samples",
    "make_shard",
    "read",
    "read_simulated",
    "run_in_virtual_time",
    "write_shards",
]
