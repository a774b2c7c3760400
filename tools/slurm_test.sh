#!/usr/bin/env bash
# Evaluate under Slurm: tools/slurm_test.sh PARTITION JOB_NAME CONFIG CHECKPOINT [options of tools/test.py]
# It reads the environment variables that tools/slurm_train.sh describes.
set -euo pipefail
if [ $# -lt 4 ]; then
    echo "usage: $0 PARTITION JOB_NAME CONFIG CHECKPOINT [options of tools/test.py]" >&2
    exit 2
fi
partition=$1
job=$2
config=$3
checkpoint=$4
shift 4
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
exec "$here/slurm_run.sh" "$partition" "$job" "$here/test.py" "$config" "$checkpoint" "$@"
