"""Rules about what a run needs of this machine."""

from __future__ import annotations

from collections.abc import Iterator

from jobgen.catalog import environments
from jobgen.check.machine_facts import MachineFacts
from jobgen.check.rules import ERROR, NOTE, WARNING, Hit, machine, names_hit
from jobgen.machine.gpu import card_fault, card_text

# Measured: the managed environment of Paddle 2.6.2 has 1.1 GB once installed, besides its wheels;
# the training process of a smoke run of PicoDet-L 640 on the CPU takes 2.8 GB of memory.
ENVIRONMENT_BYTES = 3 * 2**30
RUN_BYTES = 2**30
MEMORY_BYTES = 3 * 2**30
# PaddleDetection itself turns shared memory off below it (ppdet/data/reader.py, v2.6.0).
SHARED_MEMORY_BYTES = 2**30
BUSY = 0.2


@machine(
    "MA001",
    ERROR,
    "system that can't run jobs",
    why="Kernels and trainings are watched by means that only Linux has.",
    remedy="Build here, and run under Linux, such as in WSL 2 or AI Studio's terminal.",
)
def other_system(facts: MachineFacts) -> Iterator[Hit]:
    if facts.system != "Linux":
        yield Hit(1, (facts.system,))


@machine(
    "MA002",
    ERROR,
    "missing git",
    why="The notebook clones PaddleDetection, here from a mirror.",
    remedy="Install git, such as with: apt-get install git",
)
def no_git(facts: MachineFacts) -> Iterator[Hit]:
    if not facts.git:
        yield Hit(1, ())


@machine(
    "MA003",
    ERROR,
    "missing part of jobgen",
    why="Building needs less than running: these packages start and watch the kernel.",
    remedy='pip install "jobgen[run]"',
)
def no_runner(facts: MachineFacts) -> Iterator[Hit]:
    return names_hit(facts.lacking)


@machine(
    "MA004",
    ERROR,
    "no Python for the managed environment",
    why="Paddle 2.6.2 and 3.0 have wheels for Python 3.10 to 3.12.",
    remedy="Install one of them, or give a Python that has Paddle: jobgen run --python PATH",
)
def no_python(facts: MachineFacts) -> Iterator[Hit]:
    if facts.python:
        yield Hit(1, (), "", facts.python)


@machine(
    "MA005",
    ERROR,
    "too little space on the disk",
    why="The environment, the clone and the data are unpacked here.",
    remedy="Free some, or set another cache: JOBGEN_CACHE, or cache: in the settings.",
)
def little_space(facts: MachineFacts) -> Iterator[Hit]:
    needed = RUN_BYTES if facts.environment_made else ENVIRONMENT_BYTES
    if facts.disk_free < needed:
        free, wanted = facts.disk_free / 2**30, needed / 2**30
        yield Hit(1, (), str(facts.cache), f"{free:.1f} GB are free, {wanted:.0f} GB are needed")


@machine(
    "MA006",
    WARNING,
    "little memory",
    why="A training that runs out of memory is killed, without a word of its own.",
    remedy="Close something, or run a smaller model or batch: -p BATCH_SIZE 2",
)
def little_memory(facts: MachineFacts) -> Iterator[Hit]:
    if facts.memory is not None and facts.memory < MEMORY_BYTES:
        yield Hit(1, (), "", f"{facts.memory / 2**30:.1f} GB are free")


@machine(
    "MA007",
    NOTE,
    "little shared memory",
    why="A reader with use_shared_memory hands batches over in /dev/shm: below 1 GB "
    "PaddleDetection turns it off and is slower; a full one kills the reader (bus error).",
    remedy="docker run --shm-size 4g; a job that leaves use_shared_memory alone needs none.",
)
def little_shared_memory(facts: MachineFacts) -> Iterator[Hit]:
    if facts.shared_memory is not None and facts.shared_memory < SHARED_MEMORY_BYTES:
        yield Hit(1, (), "/dev/shm", f"{facts.shared_memory / 2**20:.0f} MB are free")


@machine(
    "MA008",
    WARNING,
    "address that does not answer",
    why="The first run fetches Paddle's packages and PaddleDetection from there.",
    remedy="Look at the network or the proxy; index-url in pip.conf and mirror: in jobgen's "
    "settings name other addresses.",
)
def silent_address(facts: MachineFacts) -> Iterator[Hit]:
    return names_hit(facts.silent)


@machine(
    "MA009",
    WARNING,
    "graphics card that can't be used",
    why="Paddle 2.6.2 of PyPI has machine code for some cards only; on another one training stops "
    "at its first step.",
    remedy="jobgen run --python PATH takes a Python whose Paddle can; --device cpu uses none.",
)
def unusable_card(facts: MachineFacts) -> Iterator[Hit]:
    builds = [environment for environment in environments().values() if environment.gpu]
    for environment in builds:
        assert environment.gpu is not None
        for card in facts.cards:
            fault = card_fault(card, environment.gpu, environment.paddle)
            if fault:
                yield Hit(1, (), "", fault)


@machine(
    "MA010",
    NOTE,
    "graphics card that is busy",
    why="What others have taken of its memory is not there for the batch.",
    remedy="Wait, choose another card by CUDA_VISIBLE_DEVICES, or set a smaller batch.",
)
def busy_card(facts: MachineFacts) -> Iterator[Hit]:
    yield from names_hit(
        [card_text(card) for card in facts.cards if card["used_mib"] > BUSY * card["memory_mib"]]
    )


@machine(
    "MA011",
    WARNING,
    "card with too little free memory for the batch",
    why="A step takes what the catalogue measured for the model's images, on a CPU: a card's "
    "figure is of that order. What does not fit stops the training in its first steps.",
    remedy="Wait for what others run there, set a smaller batch, or train.on_oom: halve.",
)
def little_card(facts: MachineFacts) -> Iterator[Hit]:
    for card in facts.cards:
        if card["memory_mib"] - card["used_mib"] < facts.training_mib:
            wanted = f"{card_text(card)}, about {facts.training_mib / 1024:.1f} GB are wanted"
            yield Hit(1, (), "", wanted)


@machine(
    "MA012",
    WARNING,
    "damaged thing in the cache",
    why="Something has changed or removed files of it since it was made.",
    remedy="The next run makes it anew, which takes the network; to remove all that is kept: "
    "jobgen cache clear --all",
)
def damaged_cache(facts: MachineFacts) -> Iterator[Hit]:
    return names_hit(facts.damaged)
