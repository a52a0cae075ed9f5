#!/usr/bin/env bash
# usage: bench/scaling_hosts.sh DATASET HOSTS RANKS_A_HOST [ARGUMENTS of bench/scaling.py]
#
# Ranks of several hosts that this machine plays: each host is a network namespace with an address and
# a name of its own, and its share of the cores; torchrun is started in each, gloo goes over a bridge
# between them. What is between real hosts is slower, but who gets which samples is found out the same
# way. Needs root, ip and taskset, and a python with PyTorch; ends with 0 if every host does.
set -euo pipefail
dataset=$(realpath "${1:?a dataset}") hosts=${2:?hosts} ranks=${3:?ranks a host}
shift 3
cd "$(dirname "$0")/.."
tag=scaling$$
cores=$(($(nproc) / hosts))
[ "$cores" -gt 0 ] || { echo "scaling_hosts: found $(nproc) cores, wanted one for each of $hosts hosts" >&2; exit 1; }
# shellcheck disable=SC2329  # called by the trap
clean() {
    for name in switch $(seq 0 $((hosts - 1))); do
        ip netns del "$tag-$name" 2>/dev/null || true
    done
}
trap clean EXIT

python -c 'import sys, robocache; robocache.open(sys.argv[1], progress=False)' "$dataset"
ip netns add $tag-switch
ip -n $tag-switch link add bridge0 type bridge
ip -n $tag-switch link set bridge0 up
jobs=()
for ((host = 0; host < hosts; ++host)); do
    ip netns add $tag-$host
    ip -n $tag-$host link add eth0 type veth peer name port$host netns $tag-switch
    ip -n $tag-switch link set port$host master bridge0 up
    ip -n $tag-$host addr add 10.77.0.$((host + 1))/24 dev eth0
    ip -n $tag-$host link set eth0 up
    ip -n $tag-$host link set lo up
done
for ((host = 0; host < hosts; ++host)); do
    # shellcheck disable=SC2016  # the inner shell expands them
    ip netns exec $tag-$host unshare --uts taskset -c $((host * cores))-$(((host + 1) * cores - 1)) \
        bash -c 'hostname "$1" && shift && exec "$@"' - "host-$host" \
        env GLOO_SOCKET_IFNAME=eth0 OMP_NUM_THREADS=1 \
        python -m torch.distributed.run --nnodes "$hosts" --node-rank $host --nproc-per-node "$ranks" \
        --master-addr 10.77.0.1 --master-port 29400 bench/scaling.py "$dataset" "$@" &
    jobs+=($!)
done
for job in "${jobs[@]}"; do
    wait "$job"
done
