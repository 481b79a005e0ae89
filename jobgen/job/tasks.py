"""A plan, whatever the task of the job."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from jobgen.job.plan import CarriedPack, Plan, make_plan
from jobgen.packs.render import Pack
from jobgen.spec import AnySpec, JobSpec
from jobgen.yamlio import Document

if TYPE_CHECKING:
    from jobgen.job.classification import ClassificationPlan

AnyPlan: TypeAlias = "Plan | ClassificationPlan"


def plan_any(spec: AnySpec, document: Document, pack: Pack | CarriedPack | None = None) -> AnyPlan:
    """Derive every value of a job. Raises SpecError with all that can't be derived."""
    if isinstance(spec, JobSpec):
        return make_plan(spec, document, pack)
    from jobgen.job.classification import make_classification_plan

    return make_classification_plan(spec, document, pack)
