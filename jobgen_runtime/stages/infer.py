"""The `infer` stage."""

from jobgen_runtime.after.infer import Wanted, infer
from jobgen_runtime.record.show import show_pictures
from jobgen_runtime.stages.run import Run


def draw_predictions(run: Run) -> None:
    """Draw what the best weights find beside what is there. Shows a few of the pictures."""
    wanted = run.job["infer"]
    threshold = None if wanted["threshold"] == "auto" else wanted["threshold"]
    where = (run.clone, run.config, run.save_dir, run.place)
    labelled = run.dataset.get("labelled", True)
    chosen = Wanted(wanted["images"], threshold, run.tiles, labelled)
    infer(*where, run.classes, run.device, chosen)
    show_pictures()
