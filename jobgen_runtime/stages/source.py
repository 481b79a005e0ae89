"""The `source` stage."""

from jobgen_runtime.setup.source import apply_fixes, clone, verify_source
from jobgen_runtime.stages.run import Run


def fetch_source(run: Run) -> None:
    """Clone the suite, see that it is what it should be, and cure its known faults."""
    settings, suite = run.settings, run.suite["title"]
    revision, urls = run.of_suite("REVISION"), run.of_suite("URLS")
    clone(urls, revision, run.clone, settings["CLONE_TIMEOUT"], suite=suite)
    strange = settings["ALLOW_UNPINNED"]
    verify_source(run.clone, revision, run.source_hashes, run.fixes, strange, suite)
    apply_fixes(run.clone, run.fixes)
