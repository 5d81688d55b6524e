"""`webdataset.mix`."""

from asyncwds import RandomMix, RoundRobin
from asyncwds.pipeline.mix_order import random_samples, round_robin_longest, round_robin_shortest

__all__ = ["RandomMix", "RoundRobin", "random_samples", "round_robin_longest", "round_robin_shortest"]
