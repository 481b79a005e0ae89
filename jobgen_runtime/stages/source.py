"""The `source` stage."""

from jobgen_runtime.setup.source import apply_fixes, clone, verify_source
from jobgen_runtime.stages.run import Run


def fetch_source(run: Run) -> None:
    """Clone PaddleDetection, see that it is what it should be, and cure its known faults."""
    settings = run.settings
    revision = settings["PADDLEDETECTION_REVISION"]
    clone(settings["PADDLEDETECTION_URLS"], revision, run.clone, settings["CLONE_TIMEOUT"])
    strange = settings["ALLOW_UNPINNED"]
    verify_source(run.clone, revision, run.source_hashes, run.fixes, strange)
    apply_fixes(run.clone, run.fixes)
