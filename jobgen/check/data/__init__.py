"""The rules of data sets: a small function each, found by its decorator."""
