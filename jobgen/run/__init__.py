"""A bundle's run on this machine: workspace, kernel, progress, verdict."""
