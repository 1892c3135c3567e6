#!/usr/bin/env bash
# Kills a run of `athanor launch` at moments that nobody chose, twenty times: mostly one of its ranks,
# which the launcher answers with a restart, every fifth time the launcher itself, which is then started
# again. The run ends with the weights of the one that nothing happened to, and no process, socket or
# shared memory is left.
#   kill_loop.sh [BUILD_FOLDER [KILLS]]      about two minutes
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
athanor=$root/${1:-build/cpu}/athanor
kills=${2:-20}
model=$root/tests/golden/llama_tied
work=$(mktemp -d)
launcher=
trap '[[ -z $launcher ]] || kill -9 "$launcher" 2>/dev/null || true; rm -rf "$work"' EXIT
cd "$work"
export TMPDIR=$work XDG_RUNTIME_DIR=$work  # where sockets go

cat >config.yaml <<YAML
model_name_or_path: $model
dataset: $model/data.jsonl
cutoff_len: 32
per_device_train_batch_size: 2
learning_rate: 1.0e-3
lr_scheduler_type: constant
lora_dropout: 0.1
max_steps: $((kills * 60))
logging_steps: 1
save_steps: 5
save_total_limit: 2
threads: 1
zero: {stage: 2}
resume_from_checkpoint: auto
max_restarts: 1000
YAML

fail() { echo "kill_loop: $1" >&2; tail -n 30 log >&2; exit 1; }
last_step() {  # of the newest checkpoint
  local name newest=0
  for name in out/checkpoint-*; do
    name=${name#out/checkpoint-}
    [[ $name =~ ^[0-9]+$ && $name -gt $newest ]] && newest=$name
  done
  echo "$newest"
}
start() {
  "$athanor" launch -n 3 config.yaml output_dir=out 2>>log &
  launcher=$!
}
ranks() { pgrep -P "$launcher" || true; }

"$athanor" launch -n 3 config.yaml output_dir=straight 2>log || fail "the straight run failed"
shm_before=$(find /dev/shm -mindepth 1 2>/dev/null | wc -l)
: >log
start
killed=0
launchers=0
while [[ $killed -lt $kills ]]; do
  # Until it has saved something new, so that each attempt makes progress; then a random while.
  seen=$(last_step)
  while kill -0 "$launcher" 2>/dev/null && [[ $(last_step) -le $seen ]]; do sleep 0.02; done
  sleep "0.$((RANDOM % 200 + 100))"
  kill -0 "$launcher" 2>/dev/null || break
  if [[ $((killed % 5)) -eq 4 ]]; then
    mapfile -t orphans < <(ranks)
    kill -9 "$launcher"
    wait "$launcher" 2>/dev/null || true
    for _ in $(seq 100); do
      left=0
      for pid in "${orphans[@]}"; do [[ ! -d /proc/$pid ]] || left=$((left + 1)); done
      [[ $left -gt 0 ]] || break
      sleep 0.1
    done
    [[ $left -eq 0 ]] || fail "$left ranks have outlived their launcher"
    launchers=$((launchers + 1))
    killed=$((killed + 1))
    start
  else
    mapfile -t victims < <(ranks)
    [[ ${#victims[@]} -gt 0 ]] || continue
    if kill -9 "${victims[RANDOM % ${#victims[@]}]}" 2>/dev/null; then killed=$((killed + 1)); fi
  fi
done
status=0
wait "$launcher" || status=$?
launcher=
[[ $status -eq 0 ]] || fail "exit code $status after $killed kills"
# A loop that kills little proves little.
[[ $killed -ge $((kills * 3 / 4)) && $launchers -ge 1 ]] || fail "only $killed kills"
for file in adapter_model.safetensors trainer_state.json; do
  cmp "out/$file" "straight/$file" || fail "$file is another one"
done
"$athanor" ckpt verify out >verified || fail "$(cat verified)"
[[ -z $(find out -name '.checkpoint-*') ]] || fail "leftovers in out"
[[ -z $(find . -maxdepth 1 -name 'athanor-*') ]] || fail "a socket is left"
[[ $(find /dev/shm -mindepth 1 2>/dev/null | wc -l) -le $shm_before ]] || fail "shared memory is left"
echo "kill_loop: $killed kills, $launchers of them of the launcher: same weights, nothing left"
