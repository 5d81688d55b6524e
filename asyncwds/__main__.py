"""`python -m asyncwds` is the command `asyncwds`, for where its script is not on the path."""

from asyncwds.cli import main

if __name__ == "__main__":
    main(prog_name="asyncwds")
