#!/usr/bin/env bash
# Used by slurm_train.sh and slurm_test.sh: slurm_run.sh PARTITION JOB_NAME SCRIPT [arguments of the script]
set -euo pipefail
partition=$1
job=$2
shift 2
gpus_per_node=${GPUS_PER_NODE:-8}
if [ "$gpus_per_node" -gt 0 ]; then
    gres=(--gres="gpu:$gpus_per_node" --ntasks-per-node="$gpus_per_node")
else
    gres=(--ntasks-per-node="${PROCESSES_PER_NODE:-1}")
fi
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
export PYTHONPATH="$here/..${PYTHONPATH:+:$PYTHONPATH}"
read -r -a extra <<<"${SRUN_ARGS:-}"
exec srun --partition="$partition" --job-name="$job" "${gres[@]}" --ntasks="${GPUS:-8}" \
    --cpus-per-task="${CPUS_PER_TASK:-5}" --kill-on-bad-exit=1 ${extra[@]+"${extra[@]}"} \
    "${PYTHON:-python}" -u "$1" "${@:2}" --launcher slurm
