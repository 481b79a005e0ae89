"""What PaddleDetection's own load_config gives for every config of a checkout, as JSON lines.

Run by a Python that has Paddle, in a checkout: python compare_configs.py CHECKOUT CONFIG ...
Each config is loaded in a process of its own, forked after the imports; tagged values are kept
as data, which its merging does not tell from the objects that it would construct.
"""

import json
import os
import sys

import cv2  # noqa: F401  Paddle 2.6.2 dies on Debian 12 where it is imported before OpenCV
import yaml

CHECKOUT = sys.argv[1]
os.chdir(CHECKOUT)
sys.path.insert(0, CHECKOUT)

import ppdet.engine  # noqa: E402, F401
from ppdet.core import workspace  # noqa: E402


class Tagged:
    def __init__(self, tag, value):
        self.tag, self.value = tag, value


def keep(loader, suffix, node):
    if isinstance(node, yaml.MappingNode):
        return Tagged(suffix, loader.construct_mapping(node, deep=True))
    if isinstance(node, yaml.SequenceNode):
        return Tagged(suffix, loader.construct_sequence(node, deep=True))
    return Tagged(suffix, loader.construct_scalar(node))


def plain(value):
    if isinstance(value, Tagged):
        return {"!" + value.tag: plain(value.value)}
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value


for tag in [tag for tag in yaml.Loader.yaml_constructors if tag and tag.startswith("!")]:
    del yaml.Loader.yaml_constructors[tag]
yaml.add_multi_constructor("!", keep, Loader=yaml.Loader)

for config in sys.argv[2:]:
    reader, writer = os.pipe()
    if os.fork() == 0:
        os.close(reader)
        before = set(workspace.global_config)
        try:
            loaded = workspace.load_config(config)
            loaded.pop("filename", None)
            answer = {key: plain(value) for key, value in loaded.items()}
            # Modules that are registered and that no file names have no values of their own.
            answer = {k: v for k, v in answer.items() if k not in before or v}
        except BaseException as error:
            answer = {"error": type(error).__name__ + ": " + str(error)}
        with os.fdopen(writer, "w") as stream:
            json.dump({"config": config, "loaded": answer}, stream)
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as stream:
        print(stream.read(), flush=True)
    os.wait()
