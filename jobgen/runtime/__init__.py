"""The code that a notebook carries: Python 3.7, standard library only.

`build` embeds the modules of this package word for word, a cell each; the
floors above import the same modules. Inside a notebook all of them share one
name space, so no two modules define the same name (tests/test_runtime.py).
"""
