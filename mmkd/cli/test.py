"""Evaluate the student of a distillation config, or any MMDetection or MMPretrain config.

The checkpoint is that of a run, an exported student, or its ONNX file. The teacher is not built.
"""

import argparse
import os.path as osp
from collections.abc import Sequence

from mmkd.cli.command import CommandParser, run_command
from mmkd.cli.options import add_run_options, config_from


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = CommandParser(description=__doc__.splitlines()[0])
    add_run_options(parser)
    parser.add_argument('checkpoint', help='file or URL, or the ONNX file of mmkd export')
    parser.add_argument('--out', metavar='FILE.pkl', help='dump all predictions')
    parser.add_argument('--show-dir', help='draw the predictions into this folder')
    args = parser.parse_args(argv)
    if args.out is not None and not args.out.endswith(('.pkl', '.pickle')):
        parser.error(f'--out: expected a .pkl or .pickle file, got {args.out}')
    return args


def evaluate(args: argparse.Namespace) -> dict[str, float]:
    """Evaluate as the options say, and return the metrics."""
    # Late, so that --help is fast.
    from mmkd.api.running import build_runner
    from mmkd.datasets.explained_errors import explain_empty_datasets, explain_unreadable_images
    from mmkd.datasets.train_and_val import checkpoint_problem
    from mmkd.datasets.unwrap import unwrap
    from mmkd.exporting import student_config, student_state_dict
    from mmkd.models.model_wrapper import unwrap_model
    from mmkd.storage.checkpoint import class_names, load_all, read_checkpoint, state_dict_of

    cfg = student_config(config_from(args))
    # What a training starts from must not replace the checkpoint that is evaluated.
    cfg.load_from, cfg.resume = None, False
    is_onnx = args.checkpoint.endswith('.onnx')
    if is_onnx:
        cfg.model = dict(type='mmkd.OnnxModel', file=args.checkpoint)
    else:
        checkpoint = read_checkpoint(args.checkpoint)
        state_dict = student_state_dict(state_dict_of(checkpoint, args.checkpoint))
    if args.show_dir is not None:
        # The hook takes a relative path from below the work directory.
        folder = osp.abspath(args.show_dir)
        cfg.default_hooks.visualization.update(draw=True, test_out_dir=folder)
    runner = build_runner(cfg)
    if args.out is not None:
        from mmdet.evaluation import DumpDetResults

        runner.test_evaluator.metrics.append(DumpDetResults(out_file_path=args.out))
    if is_onnx:
        classes = unwrap_model(runner.model).file.info['classes']
    else:
        classes = class_names(checkpoint)
        load_all(unwrap_model(runner.model), state_dict, args.checkpoint)
    with explain_empty_datasets(), explain_unreadable_images():
        for dataset in unwrap(runner.test_loop.dataloader.dataset):
            if problem := checkpoint_problem(classes, dataset):
                raise ValueError(f'test_dataloader: {problem}')
        return runner.test()


def main(argv: Sequence[str] | None = None) -> dict[str, float]:
    """Evaluate, and return the metrics."""
    metrics = evaluate(parse_args(argv))
    from mmkd.api.running import close_process_group

    close_process_group()
    return metrics


if __name__ == '__main__':
    run_command(main)
