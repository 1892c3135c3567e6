#!/usr/bin/env bash
# Asks the tiny model who it is, trains a LoRA, asks again. Usage: run.sh [ATHANOR] [key=value ...]
# ATHANOR: the binary, or set the variable of that name; default: build/cpu/athanor of this checkout,
# which is built first, with what that needs installed by tools/setup.sh.
set -euo pipefail

athanor=${ATHANOR:-}
if [[ $# -gt 0 && $1 != *=* ]]; then
  athanor=$1
  shift
fi
[[ -z $athanor || $athanor != */* ]] || athanor=$(realpath "$athanor")
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
if [[ -z $athanor ]]; then
  cd "$root"
  tools/setup.sh --build-only
  [[ -f build/cpu/build.ninja ]] || cmake --preset cpu -D ATHANOR_BUILD_TESTS=OFF
  cmake --build --preset cpu --target athanor
  athanor=$root/build/cpu/athanor
fi
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
ask "Hello!"

"$athanor" train config.yaml overwrite_output_dir=true "$@"

echo "== After: the same model with the adapter =="
ask "Who are you?" --adapter out
ask "Hello!" --adapter out
ask "Tell me a story about a fox." --adapter out
