#!/usr/bin/env bash
# Asks the tiny model who it is, trains a LoRA, asks again. Usage: run.sh [ATHANOR] [key=value ...]
# ATHANOR: the binary, or set the variable of that name; default: build/cpu/athanor of this checkout.
set -euo pipefail

athanor=${ATHANOR:-}
if [[ $# -gt 0 && $1 != *=* ]]; then
  athanor=$1
  shift
fi
[[ -z $athanor || $athanor != */* ]] || athanor=$(realpath "$athanor")
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
athanor=${athanor:-$root/build/cpu/athanor}
cd "$here"
model=../00_pretrain_tiny/model

ask() {  # ask QUESTION [option ...]
  local question=$1
  shift
  printf '\n> %s\n' "$question"
  "$athanor" generate "$model" "$@" --chat --prompt "$question" --max-new-tokens 160
}

echo "== Before =="
ask "Who are you?"
ask "What colour is the sky?"

"$athanor" train config.yaml "$@"

echo "== After: the same model with the adapter =="
ask "Who are you?" --adapter out
ask "What colour is the sky?" --adapter out
ask "Tell me a story about a fox." --adapter out
