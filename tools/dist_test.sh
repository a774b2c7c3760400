#!/usr/bin/env bash
# Evaluate on several processes: tools/dist_test.sh CONFIG CHECKPOINT GPUS [options of tools/test.py]
# Several nodes: set NNODES, NODE_RANK and MASTER_ADDR on each. If the nodes share no disk, add
# --cfg-options test_evaluator.collect_device=gpu. Without a GPU, GPUS is the number of CPU processes.
set -euo pipefail
if [ $# -lt 3 ]; then
    echo "usage: $0 CONFIG CHECKPOINT GPUS [options of tools/test.py]" >&2
    exit 2
fi
config=$1
checkpoint=$2
gpus=$3
shift 3
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
exec "$here/dist_run.sh" "$gpus" "$here/test.py" "$config" "$checkpoint" "$@"
