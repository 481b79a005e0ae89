"""Many jobs of one: which values are best for this data, each trial a bundle that is proven."""
