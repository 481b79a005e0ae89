"""The `data` stage."""

from jobgen_runtime.data.dataset import prepare_data
from jobgen_runtime.stages.run import Run
from jobgen_runtime.train.schedule import smoke_images

# Pictures differ, and so does the time to read them.
MEASURED_IMAGES = 32


def place_data(run: Run) -> None:
    """Find and unpack the data, and see that it is the job's. Sets `run.place`."""
    few = smoke_images(run.batch_size, run.cards, run.device) if run.smoke else 0
    if few and run.measured_seconds:
        few = max(few, MEASURED_IMAGES)
    balance = run.job["train"].get("balance") == "auto"
    run.place = prepare_data(run.home, run.dataset, run.name, few, balance)
