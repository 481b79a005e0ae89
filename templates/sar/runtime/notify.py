"""A word to a webhook when the job has ended. Its failure is noted and changes nothing."""

import json
import os
import urllib.request

from jobgen_runtime.record.outcome import outcome

WEBHOOK_TIMEOUT = 10.0


def notify(variable: str) -> None:
    """POST name, status, mAP@0.5 and the failure as JSON to the address in an environment
    variable; without one nothing is sent. The address is in no bundle, log or result."""
    address = os.environ.get(variable, "")
    if not address:
        return
    run = outcome()
    failure = run.data["failure"] or {}
    best = run.data["metrics"].get("best") or {}
    message = {
        "name": run.data.get("name"),
        "status": run.data["status"],
        "mAP50": best.get("mAP50"),
        "message": failure.get("message"),
    }
    body = json.dumps(message, ensure_ascii=False).encode("utf-8")
    headers = {"Content-Type": "application/json; charset=utf-8", "User-Agent": "jobgen"}
    try:
        if address.split(":")[0] not in ("http", "https"):
            raise ValueError("only http and https addresses are told")
        request = urllib.request.Request(address, data=body, headers=headers)
        with urllib.request.urlopen(request, timeout=WEBHOOK_TIMEOUT):
            run.event("notified", ok=True)
    except (OSError, ValueError) as error:
        # Not its text: it may hold the address.
        run.data["notes"].append(
            {"stage": None, "text": "the webhook was not reached (%s)" % type(error).__name__}
        )
        run.event("notified", ok=False)
