"""`python -m asyncwds.cli`: the command line, where the script is not on PATH."""

from asyncwds.cli import main

main()
