#!/usr/bin/env bash
# Train on several processes: tools/dist_train.sh CONFIG GPUS [options of tools/train.py]
# Several nodes: set NNODES, NODE_RANK and MASTER_ADDR on each. If the nodes share no disk, add
# --cfg-options val_evaluator.collect_device=gpu. Without a GPU, GPUS is the number of CPU processes.
set -euo pipefail
if [ $# -lt 2 ]; then
    echo "usage: $0 CONFIG GPUS [options of tools/train.py]" >&2
    exit 2
fi
config=$1
gpus=$2
shift 2
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
exec "$here/dist_run.sh" "$gpus" "$here/train.py" "$config" "$@"
