"""asyncwds beside other loaders, each at its documented best and in an environment of its own: `python -m bench.field --help`."""
