"""Export a model: the options of PaddleDetection's tools/export_model.py, over ppdet.engine.

Part of the mirror that jobgen puts together where no address of PaddleDetection
answers; written for jobgen, not copied from PaddleDetection.
"""

import os

import paddle
from common import complete_config
from ppdet.engine import Trainer
from ppdet.utils.cli import ArgsParser


def parse_arguments():
    parser = ArgsParser()
    parser.add_argument("--output_dir", default="output_inference", help="folder for the model")
    parser.add_argument("--export_serving_model", type=bool, default=False)
    parser.add_argument("--slim_config", help="config of a compression method")
    return parser.parse_args()


def main():
    # A program that is saved is built on the CPU, wherever it runs later.
    paddle.set_device("cpu")
    arguments = parse_arguments()
    cfg = complete_config(arguments, "test", on_device=False)
    trainer = Trainer(cfg, mode="test")
    trainer.load_weights(cfg.weights)
    trainer.export(arguments.output_dir)
    if arguments.export_serving_model:
        from paddle_serving_client.io import inference_model_to_serving

        name = os.path.splitext(os.path.basename(cfg.filename))[0]
        folder = os.path.join(arguments.output_dir, name)
        inference_model_to_serving(
            dirname=folder,
            serving_server=os.path.join(folder, "serving_server"),
            serving_client=os.path.join(folder, "serving_client"),
            model_filename="model.pdmodel",
            params_filename="model.pdiparams",
        )


if __name__ == "__main__":
    main()
