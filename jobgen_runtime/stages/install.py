"""The `install` stage."""

from jobgen_runtime.setup.install import install
from jobgen_runtime.stages.run import Run


def install_packages(run: Run) -> None:
    """Install what is missing, and leave Paddle and NumPy as they are."""
    install(run.requirements, run.clone, run.suite)
