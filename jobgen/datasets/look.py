"""What a data set in an archive or folder is: format, root, splits, classes, counts.

Reads the same records as the notebook's `data` stage, from the archive itself.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from jobgen.datasets import coco, voc
from jobgen.datasets.contents import Contents
from jobgen.datasets.found import FoundSet
from jobgen.errors import DatasetError
from jobgen.runtime.outcome import StageError

FINDERS: tuple[Callable[[Contents], FoundSet | None], ...] = (voc.find, coco.find)


def look(path: Path) -> FoundSet:
    """Find out what `path` holds. Raises DatasetError where that is not clear."""
    # A link keeps its own name, as `folder:` in job.yaml has it.
    path = Path(os.path.abspath(path))  # noqa: PTH100
    files = Contents(path)
    try:
        for find in FINDERS:
            found = find(files)
            if found is not None:
                return found
    except StageError as error:
        raise DatasetError(f"{path.name}: {error.message}", error.remedy) from error
    except ValueError as error:
        raise DatasetError(f"{path.name}: {error}") from error
    raise DatasetError(
        f"{path.name} holds neither COCO files nor Pascal VOC with ImageSets/Main",
        "jobgen reads COCO (train and val JSON) and Pascal VOC (Annotations, ImageSets/Main).",
    )
