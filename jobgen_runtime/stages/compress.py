"""The `compress` stage."""

from jobgen_runtime.after.compress import compress
from jobgen_runtime.stages.run import Run


def compress_model(run: Run) -> None:
    """Write the exported model in 8 bits, and prove that it finds what was trained."""
    compress(run.place, run.nms, run.job["model"]["config"], run.classes)
