"""Draw what a model finds: the options of PaddleDetection's tools/infer.py, over ppdet.engine.

Part of the mirror that jobgen puts together where no address of PaddleDetection
answers; written for jobgen, not copied from PaddleDetection.
"""

import ast
import os
import sys

from common import add_slices, complete_config, slices
from PIL import ImageDraw
from ppdet.engine import Trainer
from ppdet.utils.cli import ArgsParser


def _textsize(self, text, font=None):
    return self.textbbox((0, 0), text, font=font)[2:]


if not hasattr(ImageDraw.ImageDraw, "textsize"):
    # Pillow 10 took it away, and ppdet 2.6 draws labels with it.
    ImageDraw.ImageDraw.textsize = _textsize  # type: ignore[attr-defined]

ENDINGS = (".jpg", ".jpeg", ".png", ".bmp")


def parse_arguments():
    parser = ArgsParser()
    parser.add_argument("--infer_dir", help="a folder of images; its sub-folders are left out")
    parser.add_argument("--infer_img", help="one image; holds over --infer_dir")
    parser.add_argument("--output_dir", default="output", help="folder for the pictures")
    parser.add_argument("--draw_threshold", type=float, default=0.5)
    parser.add_argument("--slim_config", help="config of a compression method")
    parser.add_argument("--use_vdl", type=bool, default=False, help="record for VisualDL")
    parser.add_argument("--vdl_log_dir", default="vdl_log_dir/image")
    parser.add_argument("--save_results", type=bool, default=False, help="also write bbox.json")
    parser.add_argument("--visualize", type=ast.literal_eval, default=True)
    add_slices(parser)
    return parser.parse_args()


def chosen_images(arguments):
    """The image, or every image of the folder, sorted."""
    if arguments.infer_img:
        if not os.path.isfile(arguments.infer_img):
            sys.exit(f"there is no image {arguments.infer_img}")
        return [arguments.infer_img]
    folder = arguments.infer_dir
    if not folder or not os.path.isdir(folder):
        sys.exit("give --infer_img FILE or --infer_dir FOLDER")
    names = sorted(name for name in os.listdir(folder) if name.lower().endswith(ENDINGS))
    if not names:
        sys.exit(f"there is no image in {folder}")
    return [os.path.join(os.path.abspath(folder), name) for name in names]


def main():
    arguments = parse_arguments()
    images = chosen_images(arguments)
    cfg = complete_config(arguments, "test")
    trainer = Trainer(cfg, mode="test")
    trainer.load_weights(cfg.weights)
    wanted = {
        "draw_threshold": arguments.draw_threshold,
        "output_dir": arguments.output_dir,
        "save_results": arguments.save_results,
        "visualize": arguments.visualize,
    }
    if arguments.slice_infer:
        trainer.slice_predict(images, **slices(arguments), **wanted)
    else:
        trainer.predict(images, **wanted)


if __name__ == "__main__":
    main()
