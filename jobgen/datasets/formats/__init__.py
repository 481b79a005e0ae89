"""The formats that data sets come in, a file each.

A module here is a format where it has `READS`, its name for people. It then has `layouts(files)`,
every data set that the files may be, and `read(files, layout)`, the set at a layout. Where sets are
written in it too: `laid_out(data)`, the set with the names its images get, and where each is taken
from; `write(data)`, the texts of its other files; `divide(data, whole, parts)`, the files that
say which image of a whole is in which part. `TRAINED` stands where a job takes the set as it is,
`LEFT_OUT` says what is lost when it becomes another format.
"""

from __future__ import annotations

import importlib
import pkgutil
from types import ModuleType


def _formats() -> dict[str, ModuleType]:
    names = sorted(found.name for found in pkgutil.iter_modules(__path__))
    modules = {name: importlib.import_module(f"{__name__}.{name}") for name in names}
    return {name: module for name, module in modules.items() if hasattr(module, "READS")}


FORMATS: dict[str, ModuleType] = _formats()
