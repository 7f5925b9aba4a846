#!/bin/bash
# A sweep on a real SLURM on this machine: sharded, one job stopped as at its time limit, another killed; both must be
# requeued and the rows be those of an undisturbed run. As root on Debian; a requeued job waits for two minutes:
#
#   bash scripts/maintain/slurm_test.sh [SETTING=VALUE ...]      more settings for the sweep; PYTHON=... for another python
#
# Installs slurmctld, slurmd, slurm-client and munge with apt-get where they are missing. They stay installed, and Debian
# enables their services, so that they would start at the next boot: `systemctl disable munge slurmctld slurmd` keeps
# them from it. This script starts them on loopback, with their files in a temporary folder, and stops by PID what it
# started.
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-$(command -v .venv/bin/python || command -v python)}
export OMP_NUM_THREADS=1
job=(-m method=gpnncam model=vgg16 limit=60 shard=1/3,2/3,3/3 device=cpu "$@")

fail() { echo "slurm_test: $*" >&2; exit 1; }

install_slurm() {
    local packages=()
    for package in slurmctld slurmd slurm-client munge; do
        dpkg -s "$package" > /dev/null 2>&1 || packages+=("$package")
    done
    [ ${#packages[@]} -gt 0 ] || return 0
    [ "$(id -u)" = 0 ] && command -v apt-get > /dev/null || fail "needs ${packages[*]}; install them or run as root on Debian"
    local policy=/usr/sbin/policy-rc.d made=
    # Without this the packages start their services with Debian's configuration.
    if [ ! -e $policy ]; then printf '#!/bin/sh\nexit 101\n' > $policy; chmod +x $policy; made=$policy; fi
    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${packages[@]}"
    if [ -n "$made" ]; then rm "$made"; fi
}

stop() {
    local status=$?
    trap - EXIT
    [ $status = 0 ] || tail -n 5 "$folder"/*.log >&2 || true
    if [ -n "${sweeping:-}" ]; then kill "$sweeping" 2> /dev/null || true; fi
    if [ -n "${started:-}" ]; then
        scancel --user root --quiet 2> /dev/null || true
        # Jobs ignore SIGTERM and are killed after KillWait.
        for _ in $(seq 60); do [ -n "$(squeue --noheader 2> /dev/null)" ] || break; sleep 0.5; done
    fi
    for pid in ${started:-}; do kill "$pid" 2> /dev/null || true; done
    for pid in ${started:-}; do
        for _ in $(seq 20); do kill -0 "$pid" 2> /dev/null || continue 2; sleep 0.5; done
        kill -9 "$pid" 2> /dev/null || true
    done
    if [ $status = 0 ]; then rm -rf "$folder"; else echo "slurm_test: failed; everything is in $folder" >&2; fi
    exit $status
}

until_true() {  # SECONDS WHAT COMMAND...: wait for the command to succeed
    local deadline=$((SECONDS + $1)) what=$2
    shift 2
    until "$@" > /dev/null 2>&1; do
        [ $SECONDS -lt $deadline ] || fail "waited in vain for $what"
        if [ -n "${sweeping:-}" ] && ! kill -0 "$sweeping" 2> /dev/null; then fail "the sweep ended before $what"; fi
        sleep 0.2
    done
}

start_slurm() {
    local node ports
    node=$(hostname -s)
    ports=($("$python" -c 'import socket
held = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
print(*(one.getsockname()[1] for one in held))'))
    mkdir -p "$folder"/{state,spool}
    cat > "$SLURM_CONF" <<CONF
ClusterName=test
SlurmctldHost=$node(127.0.0.1)
SlurmctldPort=${ports[0]}
SlurmdPort=${ports[1]}
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
AuthType=auth/munge
AuthInfo=socket=$folder/munge.socket
SlurmUser=root
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool
SlurmctldPidFile=$folder/slurmctld.pid
SlurmdPidFile=$folder/slurmd.pid
SlurmctldLogFile=$folder/slurmctld.log
SlurmdLogFile=$folder/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SlurmdParameters=config_overrides
ReturnToService=2
KillWait=5
RequeueExit=137
NodeName=$node NodeAddr=127.0.0.1 CPUs=3 State=UNKNOWN
PartitionName=test Nodes=ALL Default=YES MaxTime=INFINITE State=UP
CONF
    head -c 128 /dev/urandom > "$folder/munge.key" && chmod 400 "$folder/munge.key"
    munged --foreground --key-file="$folder/munge.key" --socket="$folder/munge.socket" --pid-file="$folder/munge.pid" \
        --seed-file="$folder/munge.seed" --log-file="$folder/munge.log" > "$folder/munged.log" 2>&1 &
    started=$!
    until_true 30 "munged" munge --socket "$folder/munge.socket" --no-input
    slurmctld -D -f "$SLURM_CONF" > "$folder/slurmctld.out" 2>&1 &
    started="$! $started"
    slurmd -D -f "$SLURM_CONF" -N "$node" > "$folder/slurmd.out" 2>&1 &
    started="$! $started"
    until_true 60 "an idle node" sh -c 'sinfo --noheader --format %T | grep -qx idle'
    ss -ltnpH 2> /dev/null | grep -E 'slurm|munge' | awk '{print $4}' > "$folder/listening" || true
    if grep -vE '^(127\.|\[::1\])' "$folder/listening"; then fail "SLURM listens on more than loopback"; fi
}

the_python_of() {  # TASK: the process that evaluates this task of the array, not its srun
    local pid
    for pid in $(pgrep -f submitit.core._submit); do
        if [[ "$(readlink "/proc/$pid/exe")" == *python* ]] &&
            tr '\0' '\n' < "/proc/$pid/environ" | grep -qx "SLURM_ARRAY_TASK_ID=$1" &&
            tr '\0' '\n' < "/proc/$pid/environ" | grep -qxF "SLURM_CONF=$SLURM_CONF"; then
            echo "$pid"
            return
        fi
    done
    return 1
}

has_rows() {  # SHARD...
    local shard
    for shard; do [ "$(cat "$folder"/slurm/records/*/rows."$shard"-of-3.jsonl | wc -l)" -ge 2 ] || return 1; done
}

restarts() { scontrol show job "$1" | grep -o 'Restarts=[0-9]*' | cut -d= -f2; }

same_rows() {  # FOLDER: against the undisturbed run
    "$python" - "$folder/undisturbed" "$1" <<'PYTHON'
import sys
from pathlib import Path

from eval.records.rows import read_rows
from eval.records.loading import load_runs
from eval.records.rows.schema import TIMING

def rows(results):
    ((run,), _) = load_runs(Path(results) / "records")
    kept = [{name: value for name, value in row.items() if name not in TIMING} for row in read_rows(run.folder)]
    return run.folder.name, sorted(kept, key=lambda row: (row["key"], row["label"]))

expected, actual = rows(sys.argv[1]), rows(sys.argv[2])
if not expected[1] or expected != actual:
    sys.exit(f"rows differ: {expected[0]} has {len(expected[1])}, {actual[0]} {len(actual[1])}")
print(f"{len(actual[1])} rows, equal to those of the undisturbed run")
PYTHON
}

install_slurm
folder=$(mktemp -d)
chmod 755 "$folder"
export SLURM_CONF=$folder/slurm.conf
trap stop EXIT
trap 'exit 130' INT TERM

echo "== undisturbed, without SLURM"
"$python" run.py "${job[@]}" results="$folder/undisturbed" &
sweeping=$!
wait "$sweeping" || fail "the sweep failed"
sweeping=

start_slurm
echo "== on SLURM: SLURM signals its time limit to the first of three shards, the second killed"
"$python" run.py "${job[@]}" results="$folder/slurm" launcher=slurm launcher.cpus_per_task=1 \
    > "$folder/sweep.log" 2>&1 &
sweeping=$!
until_true 900 "rows of the first two shards" has_rows 1 2
array=$(squeue --noheader --format %F | sort -u)
victim=$(the_python_of 1) || fail "no process of job ${array}_1"
scancel --signal USR2 "${array}_0" # what SLURM sends signal_delay_s before the limit
kill -9 "$victim"
echo "signalled job ${array}_0, killed process $victim of job ${array}_1"
until_true 120 "the requeue of both" sh -c "[ \"\$(squeue --noheader --array --states PENDING --format %i | grep -cE '_[01]\$')\" = 2 ]"
for shard in 1 2 3; do echo "shard $shard: $(cat "$folder"/slurm/records/*/rows.$shard-of-3.jsonl | wc -l) rows"; done
wait "$sweeping" || { cat "$folder/sweep.log"; fail "the sweep failed"; }
sweeping=
cat "$folder/sweep.log"
for task in 0 1; do
    [ "$(restarts "${array}_$task")" = 1 ] || fail "job ${array}_$task was started again $(restarts "${array}_$task") times"
done
grep -rhq "Requeued job ${array}_0" "$folder/slurm/logs" || fail "job ${array}_0 did not put itself back in the queue"
same_rows "$folder/slurm"
echo "slurm_test: passed"
