#!/usr/bin/env bash
# Train under Slurm: tools/slurm_train.sh PARTITION JOB_NAME CONFIG [options of tools/train.py]
# Environment variables, with defaults: GPUS (8), GPUS_PER_NODE (8), CPUS_PER_TASK (5), SRUN_ARGS (none).
# GPUS_PER_NODE=0 starts CPU processes, PROCESSES_PER_NODE (1) on each node. Set MASTER_ADDR to the first node.
set -euo pipefail
if [ $# -lt 3 ]; then
    echo "usage: $0 PARTITION JOB_NAME CONFIG [options of tools/train.py]" >&2
    exit 2
fi
partition=$1
job=$2
config=$3
shift 3
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
exec "$here/slurm_run.sh" "$partition" "$job" "$here/train.py" "$config" "$@"
