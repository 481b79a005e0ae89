"""What lies beside a form of a model, for whoever gets its folder alone."""

import hashlib
import json
import os
import shutil
from typing import Any, Dict, List

from jobgen_runtime.record.text import write_text_atomically

COMPANIONS = ("detect.py", "tiles.py", "infer_cfg.yml")
RECORD = "form.json"


def furnish(
    place: str, exported: str, form: str, model: str, classes: List[str], measured: Dict[str, Any]
) -> Dict[str, Any]:
    """Put into `place`, where the files of a form are, what runs them, the names of the classes,
    and form.json, which is given back: what was measured, and SHA-256 of each of its files."""
    digests = {}
    for name in sorted(os.listdir(place)):
        path = os.path.join(place, name)
        if os.path.isfile(path):
            with open(path, "rb") as stream:
                digests[name] = hashlib.sha256(stream.read()).hexdigest()
    for name in COMPANIONS:
        shutil.copyfile(os.path.join(exported, name), os.path.join(place, name))
    labels = "".join(name + "\n" for name in classes)
    write_text_atomically(os.path.join(place, "labels.txt"), labels)
    record = {
        "form": form,
        "model": model,
        "classes": classes,
        "measured": measured,
        "sha256": digests,
    }
    text = json.dumps(record, ensure_ascii=False, indent=2) + "\n"
    write_text_atomically(os.path.join(place, RECORD), text)
    return record
