"""Classification with PaddleClas: what its stages do where they differ from detection's."""
