"""The stages of the notebook, one file each: what its cells call."""
