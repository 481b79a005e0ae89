"""What reading job.yaml finds, as rules: the spec and the plan tell, the table explains."""

from __future__ import annotations

from collections.abc import Iterator

from jobgen.catalog import model_named, models, platform
from jobgen.check.rules import ERROR, WARNING, Hit, job, names_hit
from jobgen.check.upload import JobFacts
from jobgen.findings import Severity

SEE = "docs/job.md says what may stand in job.yaml."


def _said(facts: JobFacts, code: str) -> Iterator[Hit]:
    findings = list(facts.said)
    if facts.partial is not None and facts.bases_are_there:
        findings += facts.partial.findings
    for finding in findings:
        if finding.code == code:
            yield Hit(1, (), finding.place, finding.message)


def from_reader(
    code: str, severity: Severity, title: str, *, why: str, remedy: str, name: str
) -> None:
    """A rule of this name that only passes on what reading job.yaml or the config said."""

    def find(facts: JobFacts) -> Iterator[Hit]:
        return _said(facts, code)

    find.__name__ = name
    job(code, severity, title, why=why, remedy=remedy)(find)


from_reader(
    "SP001",
    ERROR,
    "value that job.yaml can't have",
    why="It can't be meant so.",
    remedy=SEE,
    name="spec_shape",
)


from_reader(
    "SP002",
    ERROR,
    "name that the catalogue does not know",
    why="Nothing can be built of it.",
    remedy="These list what there is: jobgen models; jobgen environments",
    name="unknown_name",
)


from_reader(
    "SP003",
    ERROR,
    "export form that this Paddle does not write",
    why="The export would stop after the whole training.",
    remedy="Set export.format: auto, which writes what this Paddle has.",
    name="wrong_form",
)


from_reader(
    "SP004",
    ERROR,
    "parameter that the pack does not take",
    why="No template would see it, or it would render something broken.",
    remedy="Take it out, or give one of those that the message names.",
    name="wrong_parameter",
)


@job(
    "PL007",
    WARNING,
    "ejected template whose pack has changed since",
    why="What was cured or added in the pack does not reach this job.",
    remedy="See both sides: jobgen templates diff JOB; bring over what the job should have, then "
    "compare with the pack as it is now: jobgen templates accept JOB",
)
def stale_template(facts: JobFacts) -> Iterator[Hit]:
    return names_hit(facts.stale)


@job(
    "PL008",
    WARNING,
    "weights of another model",
    why="What does not fit is left out without a word: training begins nearly from scratch.",
    remedy="Give the weights of model.config, or set model.pretrained: coco.",
)
def weights_of_another(facts: JobFacts) -> Iterator[Hit]:
    if facts.plan is None:
        return
    model, file = facts.plan.model, facts.plan.pretrained.rpartition("/")[2]
    if facts.plan.pretrained in model.weights.values():
        return
    own = model.family.variant(model.name)
    other = model_named(file)
    strange = other if other and models()[other].family is not model.family else ""
    named = strange or model.family.variant(file)
    if named and own and named != own:
        detail = f"{named} for {facts.plan.model.name}"
        yield Hit(1, (), facts.place, detail)


from_reader(
    "PL001",
    ERROR,
    "counts of the data set that are missing",
    why="Batch size and warm-up follow from them, and the mounted data is compared with them.",
    remedy="jobgen dataset inspect counts them in the archive. Write dataset.expect, for train and "
    "eval: {images: N, boxes: N}",
    name="no_counts",
)


from_reader(
    "PL002",
    ERROR,
    "more cards than images",
    why="A card without an image waits for ever.",
    remedy="Set a smaller train.gpus.",
    name="many_cards",
)


from_reader(
    "PL003",
    ERROR,
    "batch larger than the data set",
    why="PaddleDetection trains nothing at all, saves an untrained net, and ends 0.",
    remedy="Set a smaller train.batch_size.",
    name="large_batch",
)


from_reader(
    "PL004",
    ERROR,
    "epochs that can't be dealt out in passes",
    why="PaddleDetection counts an epoch for every train.repeat passes: some would be lost.",
    remedy="Take a train.repeat that divides train.epochs, or auto.",
    name="uneven_passes",
)


from_reader(
    "PL009",
    ERROR,
    "model that the environment's PaddleDetection does not have",
    why="The job would stop as its config is read.",
    remedy="Set environment to one that has it, or take another model: jobgen models lists them.",
    name="model_of_another_revision",
)


from_reader(
    "PL010",
    ERROR,
    "pretrained weights that upstream does not have",
    why="There would be nothing to begin with.",
    remedy="Set model.pretrained to one of those named.",
    name="unpublished_weights",
)


from_reader(
    "PL011",
    ERROR,
    "copies of pictures that are smaller than training uses",
    why="Training would see blurred pictures, and evaluation sharp ones.",
    remedy="Set dataset.shrink to auto, off, or a larger number of pixels.",
    name="shrunk_too_far",
)


@job(
    "PL005",
    WARNING,
    "batch that a card of the environment may have no room for",
    why="Training stops with out of memory, most likely in its first minutes.",
    remedy="Set train.batch_size to the number named, or auto.",
)
def large_for_card(facts: JobFacts) -> Iterator[Hit]:
    if facts.plan is None:
        return
    card = platform().card_bytes
    room = facts.plan.model.room(facts.plan.input_size, card)
    batch = facts.plan.values["batch_size"].value
    if batch > room:
        detail = f"{batch} images, a card of {card >> 30} GB takes {room}"
        yield Hit(1, (), facts.place, detail)


@job(
    "PL006",
    WARNING,
    "mixed precision on Paddle 2.4",
    why="Losses became NaN there with amp_level O2, and light models gain little (PaddleDetection "
    "pull request 8305).",
    remedy="Leave train.amp out, or choose an environment with a later Paddle.",
)
def early_amp(facts: JobFacts) -> Iterator[Hit]:
    if facts.plan is not None and facts.plan.spec.train.amp:
        paddle = facts.plan.environment.paddle
        if paddle == "2.4":
            yield Hit(1, (), facts.place, "train.amp is on")


from_reader(
    "CF001",
    ERROR,
    "override that is no key of the config",
    why="PaddleDetection takes any key without a word, and trains without it.",
    remedy="Correct it, or take it out. With it out this lists the keys: jobgen explain JOB --full",
    name="unknown_override",
)


from_reader(
    "CF002",
    ERROR,
    "override of another type",
    why="Training stops at it, or takes it as text.",
    remedy="Take it out. Then this shows the config's own value: jobgen explain JOB --full",
    name="override_type",
)


from_reader(
    "CF003",
    ERROR,
    "override of what job.yaml decides elsewhere",
    why="Two places for one value: the rules that follow from it would go by the other.",
    remedy="Set it where the message says.",
    name="owned_override",
)


from_reader(
    "CF004",
    ERROR,
    "override that is too small",
    why="Training stops after an epoch, or sooner.",
    remedy="Give the least that the message names, or more.",
    name="small_override",
)


from_reader(
    "CF010",
    WARNING,
    "key that is there twice",
    why="The last one counts, without a word.",
    remedy="Take one of them out.",
    name="key_twice",
)


@job(
    "CF011",
    ERROR,
    "config that can't be read",
    why="Training stops before its first step.",
    remedy="Correct the YAML at this line.",
)
def unreadable_config(facts: JobFacts) -> Iterator[Hit]:
    yield from _said(facts, "CF011")
    yield from names_hit(facts.unreadable)


from_reader(
    "CF012",
    ERROR,
    "_BASE_ that leads back to itself",
    why="PaddleDetection recurses to its end.",
    remedy="Take the file out of its own chain.",
    name="base_cycle",
)


from_reader(
    "CF013",
    ERROR,
    "_BASE_ that is not there",
    why="Training stops with FileNotFoundError.",
    remedy="Paths are as seen from the folder below configs/ that the YAML is copied to.",
    name="missing_base",
)
