#!/usr/bin/env bash
# Kills a run at every system call of a save, one after the other, and lets each of them fail with
# EIO and ENOSPC: what is left are whole checkpoints, the old ones or the new one as well, and the
# run that goes on from them ends with the weights of the one that nothing happened to.
#   crash_sweep.sh [BUILD_FOLDER [SYSCALL...]]      needs strace; some hundred runs, a second each
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
athanor=$root/${1:-build/cpu}/athanor
model=$root/tests/golden/llama_tied
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
exec 3>&2 2>/dev/null  # where bash itself would say "Killed" at every case
cd "$work"

cat >config.yaml <<YAML
model_name_or_path: $model
dataset: $model/data.jsonl
cutoff_len: 32
per_device_train_batch_size: 2
learning_rate: 1.0e-3
lr_scheduler_type: constant
max_steps: 3
logging_steps: 1
save_steps: 1
save_total_limit: 2
threads: 1
resume_from_checkpoint: auto
YAML

if ! strace -f -o /dev/null true 2>/dev/null; then
  echo "crash_sweep: SKIPPED: strace is missing or may not trace here"
  exit 0
fi

"$athanor" train config.yaml output_dir=straight save_total_limit=9 2>/dev/null
# Where each of the runs begins: after step 1.
cp -r straight start
rm -r start/checkpoint-[23]
cases=0
interrupted=0

fail() { echo "crash_sweep: $1" >&3; sed 's/^/  /' log >&3; exit 1; }

# one_case SYSCALL N WHAT: true while the run gets as far as the N-th call.
one_case() {
  local call=$1 n=$2 what=$3 status=0
  rm -rf out
  cp -r start out
  (exec strace -f -o trace -e trace="$call" -e inject="$call:$what:when=$n" \
    "$athanor" train config.yaml output_dir=out 2>log) || status=$?
  grep -qE "INJECTED|killed by SIGKILL" trace || return 1
  cases=$((cases + 1))
  [[ $status -eq 0 ]] || interrupted=$((interrupted + 1))
  case $status in 0 | 74 | 137) ;; *) fail "$call $n $what: exit code $status" ;; esac
  "$athanor" ckpt verify out >verified || fail "$call $n $what: $(cat verified)"
  "$athanor" train config.yaml output_dir=out 2>log || fail "$call $n $what: cannot go on"
  cmp -s out/adapter_model.safetensors straight/adapter_model.safetensors ||
    fail "$call $n $what: other weights"
  [[ -z $(find out -name '.checkpoint-*') ]] || fail "$call $n $what: leftovers"
}

# write and openat belong to other work as well: from the first call of the run's own files on.
calls=("${@:2}")
[[ ${#calls[@]} -gt 0 ]] || calls=(pwrite64 fsync fallocate renameat2 rename mkdir unlinkat)
for call in "${calls[@]}"; do
  for what in signal=KILL error=EIO error=ENOSPC; do
    n=1
    while one_case "$call" "$n" "$what"; do n=$((n + 1)); done
    printf '%-10s %-14s %3d calls\n' "$call" "$what" $((n - 1))
  done
done
# A sweep that reaches nothing proves nothing.
[[ $cases -ge ${#calls[@]} && $interrupted -ge 1 ]] ||
  fail "only $cases cases, $interrupted interrupted"
echo "crash_sweep: $cases cases, $interrupted interrupted the run: nothing was lost"
