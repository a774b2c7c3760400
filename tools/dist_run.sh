#!/usr/bin/env bash
# Used by dist_train.sh and dist_test.sh: dist_run.sh PROCESSES SCRIPT [arguments of the script]
set -euo pipefail
processes=$1
shift
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
export PYTHONPATH="$here/..${PYTHONPATH:+:$PYTHONPATH}"
if [ "${NNODES:-1}" = 1 ] && [ -e /sys/class/net/lo ]; then
    # One machine: processes talk over the loopback interface, which nobody else reaches.
    export GLOO_SOCKET_IFNAME="${GLOO_SOCKET_IFNAME:-lo}" NCCL_SOCKET_IFNAME="${NCCL_SOCKET_IFNAME:-lo}"
fi
exec "${PYTHON:-python}" -m torch.distributed.run \
    --nnodes="${NNODES:-1}" --node_rank="${NODE_RANK:-0}" \
    --master_addr="${MASTER_ADDR:-127.0.0.1}" --master_port="${PORT:-29500}" \
    --nproc_per_node="$processes" \
    "$1" "${@:2}" --launcher pytorch
