"""Benchmarks: one file a question, its answer beside other ways to do the same. `python -m bench --help` lists them."""
