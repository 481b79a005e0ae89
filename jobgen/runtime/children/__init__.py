"""Scripts that run in a process of their own, where Paddle is: Python 3.7.

A notebook carries their text and writes them beside its result.
"""
