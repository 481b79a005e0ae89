"""Train with PaddleDetection: the options of its own tools/train.py, over ppdet.engine.

Part of the mirror that jobgen puts together where no address of PaddleDetection
answers; written for jobgen, not copied from PaddleDetection.
"""

from common import complete_config
from ppdet.engine import Trainer, init_fleet_env, init_parallel_env, set_random_seed
from ppdet.utils.cli import ArgsParser


def parse_arguments():
    parser = ArgsParser()
    parser.add_argument("--eval", action="store_true", help="evaluate at every snapshot")
    parser.add_argument("-r", "--resume", help="checkpoint to resume from, without its ending")
    parser.add_argument("--slim_config", help="config of a compression method")
    parser.add_argument("--enable_ce", type=bool, default=False, help="fix the random seed")
    parser.add_argument("--amp", action="store_true", help="mixed precision")
    parser.add_argument("--fleet", action="store_true", help="train through fleet")
    parser.add_argument("--use_vdl", type=bool, default=False, help="record for VisualDL")
    parser.add_argument("--vdl_log_dir", default="vdl_log_dir/scalar")
    parser.add_argument("--use_wandb", type=bool, default=False)
    parser.add_argument("--save_prediction_only", action="store_true")
    parser.add_argument("--profiler_options")
    parser.add_argument("--save_proposals", action="store_true")
    parser.add_argument("--proposals_path", default="sniper/proposals.json")
    parser.add_argument("--to_static", action="store_true")
    return parser.parse_args()


def main():
    arguments = parse_arguments()
    cfg = complete_config(arguments, "train")
    if cfg.fleet:
        init_fleet_env(cfg.get("find_unused_parameters", False))
    else:
        init_parallel_env()
    if arguments.enable_ce:
        set_random_seed(0)
    trainer = Trainer(cfg, mode="train")
    if arguments.resume:
        trainer.resume_weights(arguments.resume)
    elif cfg.get("pretrain_weights"):
        trainer.load_weights(cfg.pretrain_weights)
    trainer.train(arguments.eval)


if __name__ == "__main__":
    main()
