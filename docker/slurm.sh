#!/usr/bin/env bash
# A study on a Slurm allocation: a Ray head on the first node, a worker on each other node, and the study beside the head.
#   sbatch --nodes=4 --cpus-per-task=16 --gpus-per-node=4 docker/slurm.sh CONFIG RUN_DIR [options of safs run]
# `safs` and `ray` must be on the PATH of every node (activate the environment, then submit); CONFIG, RUN_DIR, the data and
# your home directory must lie on a file system that all nodes share. Submit the same line again to go on where it ended.
# To stop cleanly before the time is over: scancel --batch --signal=TERM JOB
#SBATCH --job-name=safs
#SBATCH --nodes=1
#SBATCH --ntasks-per-node=1
#SBATCH --signal=B:TERM@120
#SBATCH --requeue
#SBATCH --no-kill
#SBATCH --open-mode=append
#SBATCH --output=safs-%j.log
set -euo pipefail

if [ $# -lt 2 ]; then
    echo "Usage: sbatch [options] docker/slurm.sh CONFIG RUN_DIR [options of safs run]" >&2
    exit 2
fi
: "${SLURM_JOB_ID:?submit this script with sbatch}"
config=$1 run_dir=$2
shift 2

mapfile -t nodes < <(scontrol show hostnames "$SLURM_JOB_NODELIST")
cpus=${SLURM_CPUS_PER_TASK:-${SLURM_CPUS_ON_NODE:-1}} gpus=${SLURM_GPUS_ON_NODE:-0}
join_seconds=${SAFS_JOIN_SECONDS:-300}          # how long nodes may take to join
store_bytes=${SAFS_OBJECT_STORE_BYTES:-2000000000} # Ray would take 30 % of the node's memory, the job's share or not
state=$HOME/.safs/ray-$SLURM_JOB_ID             # the token; shared by all nodes of the job
temp=/tmp/safs-ray-$UID-$SLURM_JOB_ID           # Ray's sessions, on each node; /tmp/ray belongs to whoever came first
ray_pids=() child='' signalled='' stopping=''

on_each_node() {
    srun --overlap --nodes="${#nodes[@]}" --ntasks="${#nodes[@]}" --ntasks-per-node=1 "$@"
}

# Run a command so that TERM reaches it at once: bash runs no trap while it waits for a command in the foreground.
run() {
    local status=0
    if [ -n "$stopping" ]; then return 130; fi
    "$@" &
    child=$!
    wait "$child" || status=$?
    while [ -n "$signalled" ]; do # the trap, not the command's end, may be what ended the wait
        signalled='' status=0
        wait "$child" || status=$?
    done
    child=''
    return "$status"
}

terminate() {
    signalled=1 stopping=1
    if [ -n "$child" ]; then kill -TERM "$child" 2>/dev/null || true; fi
}

cleanup() {
    trap '' TERM INT
    # By their ids, never `ray stop`: that would end this user's other jobs on the node, too.
    if [ ${#ray_pids[@]} -gt 0 ]; then
        kill -TERM "${ray_pids[@]}" 2>/dev/null || true
        wait "${ray_pids[@]}" 2>/dev/null || true
    fi
    rm -rf -- "$state"
    on_each_node rm -rf -- "$temp" || true
}
trap cleanup EXIT
trap terminate TERM INT

# The token: whoever has it may run anything on these nodes as you. A file that only you can read, never an argument.
rm -rf -- "$state"
mkdir -p -- "$HOME/.safs"
mkdir -m 700 -- "$state"
(umask 077 && python3 -c 'import secrets; print(secrets.token_hex(32), end="")' >"$state/token")
export RAY_AUTH_MODE=token RAY_AUTH_TOKEN_PATH=$state/token RAY_USAGE_STATS_ENABLED=0
export RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S=0 # what is interrupted is run again by --resume

# A block of 500 ports of this job's own, below the ports that systems give to outgoing connections. Job ids tell jobs apart;
# where another program is in the way on any node, the next block is taken.
# shellcheck disable=SC2016
prepare='
import os, socket, sys
first, temp = int(sys.argv[1]), sys.argv[2]
os.makedirs(temp, mode=0o700, exist_ok=True)
if os.lstat(temp).st_uid != os.getuid() or os.path.islink(temp):
    sys.exit(f"{temp} belongs to somebody else.")
for port in range(first, first + 500):
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("", port))
        except OSError as error:
            sys.exit(f"{socket.gethostname()}: port {port}: {error.strerror}")
'
first=''
for attempt in 0 1 2 3 4; do
    block=$((10240 + (SLURM_JOB_ID + attempt) % 45 * 500))
    if run on_each_node python3 -c "$prepare" "$block" "$temp"; then
        first=$block
        break
    fi
    if [ -n "$stopping" ]; then exit 130; fi
done
if [ -z "$first" ]; then
    echo "No block of free ports on ${nodes[*]}." >&2
    exit 1
fi
node_options=(
    --block --num-cpus="$cpus" --num-gpus="$gpus" --temp-dir="$temp" --object-store-memory="$store_bytes"
    --node-manager-port=$((first + 1)) --object-manager-port=$((first + 2)) --metrics-export-port=$((first + 3))
    --runtime-env-agent-port=$((first + 4)) --dashboard-agent-listen-port=$((first + 5))
    --dashboard-agent-grpc-port=$((first + 6)) --min-worker-port=$((first + 10)) --max-worker-port=$((first + 499))
)

# The batch script runs on the first node. SAFS_HEAD_IP chooses among its networks.
head_ip=${SAFS_HEAD_IP:-$(hostname -I | cut -d' ' -f1)}
export RAY_ADDRESS=$head_ip:$first
client_port=() # the Ray client's server, which starts where its packages are, gets a port of the block, too
if python3 -c 'import grpc' 2>/dev/null; then client_port=(--ray-client-server-port=$((first + 7))); fi
ray start --head --node-ip-address="$head_ip" --port="$first" --include-dashboard=false "${client_port[@]}" \
    "${node_options[@]}" &
head_pid=$!
ray_pids+=("$head_pid")

# Wait until as many nodes have joined, but neither longer than that nor for a head that has ended.
# shellcheck disable=SC2016
join='
import os, socket, sys, time
nodes, head, seconds = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
address, deadline, joined = os.environ["RAY_ADDRESS"].rsplit(":", 1), time.monotonic() + seconds, 0
while time.monotonic() < deadline:
    try:
        os.kill(head, 0)
        socket.create_connection(address, timeout=2).close()
    except ProcessLookupError:
        sys.exit("The Ray head has ended; see above.")
    except OSError:
        time.sleep(1)
        continue
    import ray
    if not ray.is_initialized():
        ray.init(address="auto", logging_level="ERROR", log_to_driver=False)
    joined = sum(node["Alive"] for node in ray.nodes())
    if joined >= nodes:
        sys.exit(0)
    time.sleep(1)
sys.exit(f"Only {joined} of {nodes} nodes joined within {seconds:g} s.")
'
run python3 -c "$join" 1 "$head_pid" "$join_seconds" # first: a worker soon gives up where there is no head
for node in "${nodes[@]:1}"; do # a step each: a lost node ends its own only
    srun --overlap --nodes=1 --ntasks=1 --nodelist="$node" --cpus-per-task="$cpus" \
        ray start --address="$RAY_ADDRESS" "${node_options[@]}" &
    ray_pids+=($!)
done
if [ ${#nodes[@]} -gt 1 ]; then run python3 -c "$join" "${#nodes[@]}" "$head_pid" "$join_seconds"; fi

run safs run "$config" --set resources.engine=ray --set resources.address="$RAY_ADDRESS" "$@" --run-dir "$run_dir" --resume
