"""Why a stage can't go on."""

from typing import List, Optional

from jobgen_runtime.record.text import redacted


class StageError(Exception):
    """A stage can't go on.

    `cause` is a short class of cause (`data`, `network`, `killed`, ...), `remedy`
    says what to do, `log` names the file with the whole story.
    """

    def __init__(
        self,
        message: str,
        remedy: str = "",
        cause: str = "error",
        log: Optional[str] = None,
        exit_status: Optional[int] = None,
        tail: Optional[List[str]] = None,
    ) -> None:
        self.message = redacted(message)
        super().__init__(self.message)
        self.remedy = remedy
        self.cause = cause
        self.log = log
        self.exit_status = exit_status
        self.tail = tail or []


def describe_os_error(error: OSError) -> StageError:
    """A full disk or a read-only folder is the machine's fault, and says so."""
    place = error.filename or "a file"
    text = "%s: %s" % (place, error.strerror or error)
    if error.errno in (28, 122):  # ENOSPC, EDQUOT
        return StageError(text, "Free some space, then run the same job again.", cause="disk")
    if error.errno in (13, 30):  # EACCES, EROFS
        return StageError(text, "The home folder must be writable (HOME_DIR).", cause="disk")
    return StageError(text, "", cause="system")
