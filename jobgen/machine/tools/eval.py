"""Evaluate with PaddleDetection: the options of its own tools/eval.py, over ppdet.engine.

Part of the mirror that jobgen puts together where no address of PaddleDetection
answers; written for jobgen, not copied from PaddleDetection.
"""

from common import add_slices, complete_config, slices
from ppdet.engine import Trainer, init_parallel_env
from ppdet.metrics.coco_utils import json_eval_results
from ppdet.utils.cli import ArgsParser


def parse_arguments():
    parser = ArgsParser()
    parser.add_argument("--output_eval", help="folder for what was found; else the current one")
    parser.add_argument("--json_eval", action="store_true", help="judge a bbox.json that is there")
    parser.add_argument("--slim_config", help="config of a compression method")
    parser.add_argument("--bias", action="store_true", help="count a box's last pixel too")
    parser.add_argument("--classwise", action="store_true", help="AP and curves of each class")
    parser.add_argument("--save_prediction_only", action="store_true")
    parser.add_argument("--amp", action="store_true", help="mixed precision")
    add_slices(parser)
    return parser.parse_args()


def main():
    arguments = parse_arguments()
    cfg = complete_config(arguments, "eval")
    if arguments.json_eval:
        json_eval_results(
            cfg.metric, json_directory=arguments.output_eval, dataset=cfg["EvalDataset"]
        )
        return
    init_parallel_env()
    trainer = Trainer(cfg, mode="eval")
    trainer.load_weights(cfg.weights)
    if arguments.slice_infer:
        trainer.evaluate_slice(**slices(arguments))
    else:
        trainer.evaluate()


if __name__ == "__main__":
    main()
