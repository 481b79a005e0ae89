"""A bundle as a program: main.py, made of the cells of its own notebook in their order.

A pipeline job runs a command, and nobody says what its image has to run a notebook with.
"""

from __future__ import annotations

import ast
import io
import zipfile
from typing import Any

from jobgen.catalog import platform
from jobgen.errors import BundleError
from jobgen.job.bundle import NOTEBOOK, Bundle
from jobgen.job.notebook import cell_source
from jobgen.literals import to_source
from jobgen.resources import runtime_dir
from jobgen.run.kernel import parameter_defaults

PROGRAM = "main.py"
# The cell after which the job's own tools are there, and its arguments can be taken.
TOOLS_CELL = "tools"
HEAD = '''\
"""The background job {name} as a program: the cells of main.ipynb in their order.

    python main.py
    python main.py EPOCHS=20 SMOKE=True     with other parameters
"""
'''
START = """\
take_arguments(sys.argv[1:], {known}, globals())
settle_in(globals().get("HOME_DIR") or os.path.dirname(os.path.abspath(__file__)), {files})
"""


def program_text(bundle: Bundle) -> str:
    """main.py of a bundle, for Python 3.7. Raises BundleError where a cell is no plain Python, or
    the notebook is of a version that can't run as a program."""
    notebook = bundle.notebook
    cells = [cell for cell in notebook["cells"] if cell.get("cell_type") == "code"]
    if TOOLS_CELL not in [cell.get("id") for cell in cells]:
        raise BundleError(f"the notebook has no cell {TOOLS_CELL}", "Build the bundle again.")
    parts = [HEAD.format(name=bundle.name)]
    for cell in cells:
        source = cell_source(cell).strip("\n")
        parts.append(f"# %% {cell.get('id')}\n{source}\n")
        if cell.get("id") == TOOLS_CELL:
            parts += _start(bundle, notebook)
    text = "\n".join(parts)
    try:
        ast.parse(text, feature_version=(3, 7))
        # A late `from __future__`, and `await` outside of a function, which a notebook allows.
        compile(text, PROGRAM, "exec", dont_inherit=True)
    except SyntaxError as error:
        raise BundleError(
            f"{NOTEBOOK} can't run as a program: {error.msg} ({error.text or ''})".rstrip(),
            "Cells of a job are plain Python, without !commands and %magics.",
        ) from error
    return text


def _start(bundle: Bundle, notebook: dict[str, Any]) -> list[str]:
    files = sorted(name for name in bundle.files if name != NOTEBOOK)
    known = to_source(sorted(parameter_defaults(notebook)))
    arguments = (runtime_dir() / "arguments.py").read_text(encoding="utf-8")
    return [f"# %% arguments\n{arguments}\n", START.format(known=known, files=to_source(files))]


def package(bundle: Bundle) -> bytes:
    """The zip that a pipeline job unpacks: main.py and the bundle's configs, the same bytes for
    the same bundle on any machine. Raises BundleError over the platform's limit."""
    files = {name: data for name, data in bundle.files.items() if name != NOTEBOOK}
    files[PROGRAM] = program_text(bundle).encode()
    stream = io.BytesIO()
    # Stored: deflate's bytes differ between builds of zlib.
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
        for name, data in sorted(files.items()):
            info = zipfile.ZipInfo(name)  # dated 1980
            info.create_system = 3
            info.external_attr = 0o644 << 16
            archive.writestr(info, data)
    found = stream.getvalue()
    limit = platform().code_bytes
    if len(found) > limit:
        raise BundleError(f"the job's files have {len(found):,} bytes; {limit:,} is the limit")
    return found
