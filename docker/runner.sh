#!/usr/bin/env bash
# `safs worker` on a node of a Ray cluster, for service.compose.yaml and service.yaml:
#   runner.sh HEAD:PORT [options of safs worker]
#   runner.sh check                                 # fails unless both are there
# A study finds its cluster by `address: auto`: the one that its machine belongs to. So this container joins it, without
# CPUs and GPUs, as trials run on its other nodes. Both are in one container because Ray looks for the node among the
# processes that it sees. Whichever of the two ends, the other ends too, after its studies went back to the queue, and
# with it the container, which is to be started again.
set -euo pipefail

if [ $# -lt 1 ]; then
    echo "Usage: runner.sh HEAD:PORT [options of safs worker], or runner.sh check" >&2
    exit 2
fi
place=${RAY_TMPDIR:-/tmp}
node='' worker='' stopping=''

joined() { # the file is written when the node has joined; both that and the socket may be of an earlier life
    [ -e "$place/ray/ray_current_cluster" ] && python3 -c '
import socket, sys
try:
    socket.socket(socket.AF_UNIX).connect(sys.argv[1])
except OSError as error:
    sys.exit(f"The Ray node does not answer: {error}")
' "$place/ray/session_latest/sockets/raylet"
}

if [ "$1" = check ]; then
    joined && kill -0 "$(cat "$place/safs-worker.pid")"
    exit
fi

terminate() {
    stopping=1
    if [ -n "$worker" ]; then kill -TERM "$worker" 2>/dev/null || true; fi
}

# shellcheck disable=SC2317 # the trap calls it
leave() {
    trap '' TERM INT
    rm -f -- "$place/safs-worker.pid"
    if [ -n "$node" ]; then
        kill -TERM "$node" 2>/dev/null || true
        wait "$node" 2>/dev/null || true
    fi
}
trap leave EXIT
trap terminate TERM INT

ray start --block --address="$1" --num-cpus=0 --num-gpus=0 &
node=$!
shift
while ! joined 2>/dev/null; do # a study that began before would find no cluster, and fail
    if [ -n "$stopping" ]; then exit 143; fi
    if ! kill -0 "$node" 2>/dev/null; then
        echo "This node could not join the Ray cluster; see above." >&2
        exit 1
    fi
    sleep 1
done

safs worker "$@" &
worker=$!
echo "$worker" >"$place/safs-worker.pid"
if [ -n "$stopping" ]; then terminate; fi
status=0
wait -n "$node" "$worker" || status=$?
if [ -z "$stopping" ]; then echo "Ended: the Ray node or the worker (code $status); so the other ends, too." >&2; fi
terminate
while kill -0 "$worker" 2>/dev/null; do # a signal ends a wait early
    status=0
    wait "$worker" || status=$?
done
exit "$status"
