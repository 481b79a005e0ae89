"""The `export` stage."""

from jobgen_runtime.after.export import export
from jobgen_runtime.stages.run import Run


def export_model(run: Run) -> None:
    """Write the model for deployment, and prove that it finds the same boxes."""
    where = (run.clone, run.config, run.save_dir, run.place)
    export(*where, run.classes, run.job["export"], run.nms)
