#!/usr/bin/env bash
# Runs every fuzzer of build/fuzz for SECONDS, two at a time; fails when one finds something.
# Usage: run.sh SECONDS [NAME...]. New inputs and crashes go to build/fuzz/found/NAME; one that
# crashed belongs into tests/fuzz/corpus/NAME once its cause is fixed.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
seconds=${1:?usage: run.sh SECONDS [NAME...]}
shift
names=("$@")
[[ ${#names[@]} -gt 0 ]] ||
  names=(safetensors index model_config config records tokenizer dataset_info template)

run_one() {
  local name=$1 found=build/fuzz/found/$1
  mkdir -p "$found"
  if build/fuzz/tests/fuzz/"fuzz_$name" "$found" tests/fuzz/corpus/"$name" \
    -max_total_time="$seconds" -timeout=2 -rss_limit_mb=1024 -max_len=4096 \
    -artifact_prefix="$found/" -print_final_stats=1 >"$found.log" 2>&1; then
    echo "$name: $(sed -n 's/^stat::number_of_executed_units: *//p' "$found.log") inputs, clean"
  else
    echo "$name: FAILED"
    tail -n 40 "$found.log"
    return 1
  fi
}

failed=0
pids=()
for name in "${names[@]}"; do
  run_one "$name" &
  pids+=($!)
  if [[ ${#pids[@]} -eq 2 ]]; then
    wait "${pids[0]}" || failed=1
    pids=("${pids[1]}")
  fi
done
for pid in "${pids[@]}"; do wait "$pid" || failed=1; done
exit "$failed"
