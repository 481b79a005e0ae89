"""What all stages share: what the notebook was told, and what the stages before have found."""

import os
from typing import Any, Dict, List, Optional

from jobgen_runtime.record.collect import clean_up, keep_best_so_far
from jobgen_runtime.record.outcome import at_end, begin
from jobgen_runtime.record.report import write_report
from jobgen_runtime.setup.machine import Nodes, find_home


class Run:
    """One run of the notebook. `names` are those of its cells: the parameters, SETTINGS (what no
    parameter of the same name replaces), and what the job consists of."""

    def __init__(self, names: Dict[str, Any]) -> None:
        self.settings: Dict[str, Any] = dict(names["SETTINGS"])
        self.settings.update({key: names[key] for key in self.settings if key in names})
        self._take_job(names)
        self._take_parameters(names)
        self._take_places()
        # What stages find, in their order.
        self.device = ""  # prepare: cpu or gpu
        self.place: Dict[str, Any] = {}  # data: where it lies, its counts and hashes
        # configure: `place` with smaller copies of large pictures, which training reads.
        self.small: Dict[str, Any] = {}
        self.values: Dict[str, Any] = {}  # configure: the plan for this very machine
        self.config = ""  # configure: the path of the config that is trained
        self.status = ""  # collect

    def _take_job(self, names: Dict[str, Any]) -> None:
        self.name: str = names["NAME"]
        # What is cloned to train with: its title, its package, and the engine in it.
        self.suite: Dict[str, str] = names["SUITE"]
        self.job: Dict[str, Any] = names["JOB"]
        self.dataset: Dict[str, Any] = self.job["dataset"]
        self.classes: List[str] = self.dataset["classes"]
        self.plan: Dict[str, Any] = names["PLAN"]
        self.origins: Dict[str, str] = names["ORIGINS"]
        # Empty where the model's file says it all.
        self.dataset_file: str = names["DATASET_FILE"]
        self.model_file: str = names["MODEL_FILE"]
        self.pretrained: str = names["PRETRAINED"]
        # Of detection alone.
        self.nms: Dict[str, Any] = names.get("NMS") or {}
        self.paddle: str = names["PADDLE_WANTED"]
        self.built_stages: List[str] = names["BUILT_STAGES"]
        self.source_hashes: Dict[str, Any] = names["SOURCE_HASHES"]
        self.requirements: List[Dict[str, Any]] = names["REQUIREMENTS"]
        self.fixes: List[Dict[str, Any]] = names["FIXES"]

    def _take_parameters(self, names: Dict[str, Any]) -> None:
        self.wanted_device: str = names["DEVICE"]
        self.gpus: int = names["GPUS"]
        self.epochs: int = names["EPOCHS"]
        self.batch_size: int = names["BATCH_SIZE"]
        self.base_lr: Optional[float] = names["BASE_LR"]
        self.workers: int = names["WORKERS"]
        self.amp: bool = names["AMP"]
        self.seed: Optional[int] = names["SEED"]
        self.stages: List[str] = names["STAGES"]
        self.smoke: bool = names["SMOKE"]
        self.on_oom: str = names["ON_OOM"]
        self.trained_weights: Optional[str] = names["TRAINED_WEIGHTS"]
        self.resume_from: Optional[str] = names["RESUME_FROM"]
        self.hours: float = names["TIME_LIMIT_HOURS"] or 0
        self.cleanup: Any = names["CLEANUP"]
        self.stall_minutes: float = self.settings["STALL_MINUTES"]

    def _take_places(self) -> None:
        self.home = find_home(self.settings["HOME_DIR"], self.files)
        own = os.path.join(self.home, self.suite["title"])
        self.clone: str = self.of_suite("DIR") or own
        # What is tried leaves the record and the checkpoints of the job itself alone.
        beside = "-after" if self.trained_weights else "-smoke" if self.smoke else ""
        self.output = os.path.join(self.home, "output", self.name + beside)
        self.save_dir = os.path.join(self.output, "checkpoints")
        nodes = (self.settings[key] for key in ("NNODES", "NODE_RANK", "MASTER"))
        self.nodes = Nodes(*nodes)

    @property
    def files(self) -> List[str]:
        """The configs of the bundle."""
        return [name for name in (self.dataset_file, self.model_file) if name]

    def of_suite(self, name: str) -> Any:
        """A setting that has the suite's name before its own, as PADDLEDETECTION_URLS."""
        return self.settings["%s_%s" % (self.suite["title"].upper(), name)]

    @property
    def tiles(self) -> Optional[Dict[str, Any]]:
        """In what tiles larger images are read after training: size, overlap, and over which
        overlap two boxes are one; None: whole."""
        wanted = self.job.get("tiles")
        return dict(wanted, iou=self.nms["nms_threshold"]) if wanted else None

    @property
    def cards(self) -> int:
        """Cards on all machines."""
        return self.gpus * int(self.nodes.count)

    @property
    def patience(self) -> float:
        """Seconds without a sign of life after which a child is taken for hung; 0: never."""
        return self.stall_minutes * 60

    @property
    def measured_seconds(self) -> float:
        """For how long each way of reading is to be measured; 0: not. A notebook of an earlier
        version does not say."""
        return float(self.settings.get("MEASURE_READER") or 0)

    def wants(self, stage: str) -> bool:
        """Whether an optional stage is to be done, and by this machine of several."""
        return stage in self.stages and self.nodes.rank == 0


def begin_run(names: Dict[str, Any], version: str, language: str) -> Run:
    """Open the record of this run, with what is done however it ends."""
    run = Run(names)
    facts = {"name": run.name, "smoke": run.smoke, "home": run.home, "job": run.job}
    plan = {name: value for name, value in run.plan.items() if name != "family"}
    facts.update(plan=plan, origins=run.origins, jobgen=version, language=language)
    begin(run.output, time_limit=run.hours * 3600, **facts)
    at_end(keep_best_so_far, run.save_dir)
    sources = run.dataset["sources"]
    at_end(clean_up, run.home, run.name, sources, run.clone, run.save_dir, run.cleanup)
    at_end(write_report, language)
    return run
