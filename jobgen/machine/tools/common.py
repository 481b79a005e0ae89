"""What the tools share: the device, the checks, and PaddleDetection on the path.

Part of the mirror that jobgen puts together where no address of PaddleDetection
answers; written for jobgen, not copied from PaddleDetection.
"""

import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import paddle
from ppdet.core.workspace import load_config, merge_config
from ppdet.utils import check
from ppdet.utils.cli import merge_args

DEVICES = ("gpu", "npu", "xpu", "mlu")


def choose_device(cfg):
    """Set Paddle's device as the config's use_<device> keys say; a missing key means no."""
    for device in DEVICES:
        cfg.setdefault("use_" + device, False)
    wanted = [device for device in DEVICES if cfg["use_" + device]]
    paddle.set_device(wanted[0] if wanted else "cpu")


def complete_config(arguments, mode, on_device=True):
    """The config that the command line asks for, checked, with Paddle's device set."""
    cfg = load_config(arguments.config)
    if on_device:
        merge_args(cfg, arguments)
    merge_config(arguments.opt)
    if on_device:
        choose_device(cfg)
    if arguments.slim_config:
        from ppdet.slim import build_slim_model

        cfg = build_slim_model(cfg, arguments.slim_config, mode=mode)
        # What the command line says holds over the compression method's config too.
        merge_config(arguments.opt)
    check.check_config(cfg)
    check.check_gpu(cfg.setdefault("use_gpu", False))
    check.check_version()
    return cfg


def add_slices(parser):
    """The options of slicing large images, which eval and infer share."""
    parser.add_argument("--slice_infer", action="store_true", help="cut images into slices")
    parser.add_argument("--slice_size", nargs="+", type=int, default=[640, 640])
    parser.add_argument("--overlap_ratio", nargs="+", type=float, default=[0.25, 0.25])
    parser.add_argument("--combine_method", default="nms", help="nms, nmm or concat")
    parser.add_argument("--match_threshold", type=float, default=0.6)
    parser.add_argument("--match_metric", default="ios", help="iou or ios")


def slices(arguments):
    names = ("slice_size", "overlap_ratio", "combine_method", "match_threshold", "match_metric")
    return {name: getattr(arguments, name) for name in names}
