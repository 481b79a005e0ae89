"""The parameters of PaddleDetection's registered classes, read from its source with `ast`.

python tests/class_parameters.py CHECKOUT [CHECKOUT ...]: those that all checkouts with that
class have, of the classes that the catalogue's configs name, as rows for jobgen/catalog/data/classes.yml.
"""

from __future__ import annotations

import ast
import re
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from jobgen.catalog import models
from jobgen.yamlio import Tagged

# Named by no config, since they are the defaults of others.
BESIDE = ("ATSSAssigner", "TaskAlignedAssigner", "VarifocalLoss", "DistributionFocalLoss",
          "GIoULoss", "MultiClassNMS", "PicoFeat", "PiecewiseDecay")  # fmt: skip


def class_parameters(checkout: Path) -> dict[str, set[str]]:
    """The parameters of every registered class of a checkout, without self."""
    found: dict[str, set[str]] = {}
    bases: dict[str, list[str]] = {}
    passes_on: set[str] = set()
    for path in sorted((checkout / "ppdet").rglob("*.py")):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # other people's escapes in strings
            tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                bases[node.name] = [b.id for b in node.bases if isinstance(b, ast.Name)]
                for item in node.body:
                    if isinstance(item, ast.FunctionDef) and item.name == "__init__":
                        names = {a.arg for a in (*item.args.args, *item.args.kwonlyargs)}
                        found[node.name] = names - {"self"}
                        if item.args.kwarg:
                            passes_on.add(node.name)
    for name in list(bases):
        for base in bases[name]:
            if (name not in found or name in passes_on) and base in found:
                found[name] = found.get(name, set()) | found[base]
    return found


KEY = re.compile(
    r"""cfg\.get\(['"](\w+)|cfg\[['"](\w+)['"]\]|['"](\w+)['"] (?:not )?in (?:self\.)?cfg\b"""
)


def trainer_keys(checkout: Path) -> set[str]:
    """The top-level keys that the trainer and the tools ask a config for."""
    files = [*(checkout / "ppdet" / "engine").rglob("*.py"), *(checkout / "tools").glob("*.py")]
    found: set[str] = set()
    for path in files:
        for match in KEY.finditer(path.read_text(encoding="utf-8")):
            found |= {name for name in match.groups() if name}
    return {name for name in found if name == name.lower()}


def named_classes(value: Any) -> Iterator[str]:
    """Every name in a config that can be a class: keys, `name:` values, tags."""
    if isinstance(value, Tagged):
        yield value.tag
        value = value.value
    if isinstance(value, dict):
        for key, item in value.items():
            yield str(key)
            if key == "name" and isinstance(item, str):
                yield item
            yield from named_classes(item)
    elif isinstance(value, list):
        for item in value:
            yield from named_classes(item)


def shared_parameters(checkouts: list[Path]) -> dict[str, list[str]]:
    tables = [class_parameters(checkout) for checkout in checkouts]
    wanted = {*BESIDE, *(n for m in models().values() for n in named_classes(m.config()))}
    known = wanted & {name for table in tables for name in table}
    return {
        name: sorted(set.intersection(*(table[name] for table in tables if name in table)))
        for name in sorted(known)
    }


if __name__ == "__main__":
    keys = set.intersection(*(trainer_keys(Path(p)) for p in sys.argv[1:]))
    print(f"trainer: [{', '.join(sorted(keys))}]")
    for name, parameters in shared_parameters([Path(p) for p in sys.argv[1:]]).items():
        print(f"  {name}: [{', '.join(parameters)}]")
