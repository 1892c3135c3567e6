#!/usr/bin/env bash
# `athanor launch --hostfile` over a real network between two hosts that are namespaces of this machine
# (network and host name), joined by a veth pair: the run ends with the bits of thread ranks, SIGUSR1
# reaches the ranks of both, a rank that dies on the other host ends the job, and a pulled cable ends it
# within the time-out.
#   two_hosts.sh [BUILD_FOLDER]      needs root, ip and mpirun; about a minute
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
athanor=$root/${1:-build/cpu}/athanor
model=$root/tests/golden/llama_tied
here=athanor$$a
there=athanor$$b
net=10.213.77

skip() { echo "two_hosts: SKIPPED: $1" >&2; exit 0; }
[[ $(id -u) -eq 0 ]] || skip "namespaces take root"
command -v ip mpirun unshare >/dev/null || skip "ip, unshare or mpirun is missing"
ip netns add "$here" 2>/dev/null || skip "network namespaces are not permitted here"

work=$(mktemp -d)
clean() {
  ip netns pids "$here" 2>/dev/null | xargs -r kill -9 2>/dev/null || true
  ip netns pids "$there" 2>/dev/null | xargs -r kill -9 2>/dev/null || true
  ip netns del "$here" 2>/dev/null || true
  ip netns del "$there" 2>/dev/null || true
  rm -rf "$work"
}
trap clean EXIT
cd "$work"

ip netns add "$there"
ip link add veth0 netns "$here" type veth peer name veth0 netns "$there" ||
  skip "veth pairs are not permitted here"
for end in "$here 1" "$there 2"; do
  read -r name number <<<"$end"
  ip -n "$name" addr add "$net.$number/24" dev veth0
  ip -n "$name" link set veth0 up
  ip -n "$name" link set lo up
done

# What ssh would be: starts mpirun's daemon on the other host, with nothing of this environment.
cat >agent <<AGENT
#!/bin/sh
shift  # the host's name: there is only one other
exec ip netns exec $there unshare --uts sh -c 'hostname there; exec env -i PATH="\$PATH" \
  HOME="\$HOME" OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 sh -c "\$0"' "\$*"
AGENT
chmod +x agent
printf '%s.1 slots=1\n%s.2 slots=1\n' "$net" "$net" >hosts
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
export OMPI_MCA_plm_rsh_agent=$work/agent OMPI_MCA_btl=self,tcp OMPI_MCA_btl_tcp_if_include=$net.0/24
export OMPI_MCA_oob_tcp_if_include=$net.0/24 OMPI_MCA_hwloc_base_binding_policy=none
export TMPDIR=$work XDG_RUNTIME_DIR=$work

cat >config.yaml <<YAML
model_name_or_path: $model
dataset: $model/data.jsonl
cutoff_len: 32
per_device_train_batch_size: 2
learning_rate: 1.0e-3
max_steps: 5
logging_steps: 1
threads: 1
zero: {stage: 3}
overwrite_output_dir: true
YAML

fail() { echo "two_hosts: $1" >&2; tail -n 40 log >&2; exit 1; }
# launch_at_home OUTPUT ...: on the first host, in the background.
launch_at_home() {
  local output=$1
  shift
  : >log
  ip netns exec "$here" unshare --uts sh -c 'hostname here; exec "$@"' sh \
    "$athanor" launch -n 2 --hostfile hosts "${flags[@]}" config.yaml output_dir="$output" "$@" \
    >>log 2>&1 &
  launcher=$!
}
steps() { { cat "$1/trainer_log.jsonl" 2>/dev/null || true; } | wc -l; }
until_it_trains() {
  for _ in $(seq 600); do
    [[ $(steps "$1") -lt 3 ]] || return 0
    kill -0 "$launcher" 2>/dev/null || fail "the run ended before it trained"
    sleep 0.1
  done
  fail "no step within a minute"
}
expect() {  # WHAT CODE...
  local what=$1 status=0 begin=$SECONDS code
  shift
  wait "$launcher" || status=$?
  for code in "$@"; do
    if [[ $status -eq $code ]]; then
      echo "two_hosts: $what: exit code $status, $((SECONDS - begin)) s"
      return 0
    fi
  done
  fail "$what: exit code $status, expected $*"
}

flags=()
"$athanor" train config.yaml ranks=2 output_dir=threads 2>log || fail "thread ranks"
launch_at_home out
expect "a run over the network" 0
cmp out/adapter_model.safetensors threads/adapter_model.safetensors || fail "other weights"

launch_at_home stopped max_steps=1000000
until_it_trains stopped
"$athanor" status stopped >table || fail "no status"
grep -q ' here ' table || fail "$(cat table)"
grep -q 'not heard here' table || fail "$(cat table)"
kill -USR1 "$launcher"
expect "SIGUSR1 through mpirun" 75

launch_at_home killed max_steps=1000000
until_it_trains killed
ip netns pids "$there" | while read -r pid; do
  [[ $(readlink "/proc/$pid/exe") != "$(readlink -f "$athanor")" ]] || kill -9 "$pid"
done
expect "a rank killed on the other host" 69
[[ -z $(ip netns pids "$there") ]] || { sleep 5; [[ -z $(ip netns pids "$there") ]]; } ||
  fail "processes are left on the other host"

flags=(--hang-timeout 5)
launch_at_home cut max_steps=1000000
until_it_trains cut
ip -n "$there" link set veth0 down
expect "a pulled cable" 69 124
grep -q 'ranks that are not heard here' log || fail "the cause is not named"
echo "two_hosts: done"
