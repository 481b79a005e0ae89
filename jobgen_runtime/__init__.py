"""The code that a notebook carries: Python 3.7, standard library only, nothing of jobgen.

A notebook writes the modules that its steps use, word for word, into a folder and imports them
from there; jobgen's own floors import the same package.
"""
