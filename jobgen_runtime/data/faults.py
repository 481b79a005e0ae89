"""What a fault of a data set is called: one code and one word, in a job's log and in a check.

The data stage stops at the faults named here; `jobgen check --rules` has them all,
with the reason and the remedy of each.
"""

from jobgen_runtime.record.errors import StageError

FAULTS = {
    "DS001": "entry with an unsafe name",
    "DS002": "entry that is a link or a device",
    "DS003": "encrypted entry",
    "DS004": "archive that can't be read",
    "DS005": "entries that are in each other's way",
    "DS010": "annotation file that can't be read",
    "DS011": "value of the wrong type",
    "DS012": "missing value",
    "DS014": "annotation without area",
    "DS015": "annotation without iscrowd",
    "DS020": "id used twice",
    "DS021": "item without id",
    "DS023": "annotation of an image that is not listed",
    "DS030": "annotation of an unknown class",
    "DS033": "classes that are not the job's",
    "DS040": "box without area",
    "DS041": "box with swapped corners",
    "DS045": "coordinate that is not finite",
    "DS050": "missing image",
    "DS052": "two images of one name",
    "DS074": "image that a list names twice",
    "DS077": "listed image without annotation file",
    "DS091": "split without boxes",
    "DS098": "another data set than the job's",
}
# Of a classification set.
CLASS_FAULTS = {
    "CL020": "line of a list without image and class",
    "CL021": "line of a list with an unknown class",
    "CL022": "image in a folder that is no class of the job",
    "CL023": "image outside of the class folders",
    "CL024": "split that is missing",
    "CL025": "another data set than the job's",
    "CL026": "listed image that is missing",
    "CL027": "split without images",
}
CORRECT = "Correct the file, and upload it as a new version of the data set."


def fault_text(code: str, detail: str) -> str:
    word = FAULTS.get(code) or CLASS_FAULTS[code]
    return "%s (%s): %s" % (word, code, detail)


def data_fault(place: str, code: str, detail: str, remedy: str = CORRECT) -> StageError:
    """The error of a data set: where, what it is called, and what was found."""
    return StageError("%s: %s" % (place, fault_text(code, detail)), remedy, cause="data")
