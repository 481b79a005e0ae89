"""The `collect` stage."""

import os

from jobgen_runtime.record.collect import collect, collect_nothing, end_run
from jobgen_runtime.stages.run import Run


def collect_results(run: Run) -> None:
    """Gather weights, curves and settings in the output folder. Sets `run.status`."""
    files = [os.path.join(run.home, name) for name in run.files]
    only_one = run.nodes.rank == 0
    run.status = (
        collect(run.save_dir, [*files, run.config], run.smoke)
        if only_one
        else collect_nothing(run.smoke)
    )


def close_run(run: Run) -> None:
    """Write the verdict; raises where it is not good, so that the notebook ends as failed."""
    end_run(run.status)
