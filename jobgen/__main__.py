"""`python -m jobgen`."""

from jobgen.cli import entry

if __name__ == "__main__":
    entry()
