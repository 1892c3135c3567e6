#!/usr/bin/env bash
# Gives SmolLM2-135M-Instruct a new name: asks it who it is, trains a LoRA, asks again, merges and asks
# the merged model. Usage: run.sh [--name NAME] [--author AUTHOR] [ATHANOR] [key=value ...]
# ATHANOR: the binary, or set the variable of that name; default: build/cpu/athanor of this checkout,
# which is built first, with what that needs installed by tools/setup.sh.
# The model comes over the network once (tools/get_model.sh); delete data/ to fetch it again.
set -euo pipefail

name=Cinder
author="the Athanor project"
athanor=${ATHANOR:-}
overrides=()
while [[ $# -gt 0 ]]; do
  case $1 in
    --name | --author)
      [[ $# -ge 2 ]] || { echo "run.sh: $1 needs a value" >&2; exit 2; }
      declare "${1#--}=$2"
      shift ;;
    --*) echo "usage: run.sh [--name NAME] [--author AUTHOR] [ATHANOR] [key=value ...]" >&2; exit 2 ;;
    *=*) overrides+=("$1") ;;
    *) athanor=$1 ;;
  esac
  shift
done
[[ -z $athanor || $athanor != */* ]] || athanor=$(realpath "$athanor")
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)

"$root/tools/get_model.sh" "$here/data/model"

if [[ -z $athanor ]]; then
  cd "$root"
  tools/setup.sh --build-only
  [[ -f build/cpu/build.ninja ]] || cmake --preset cpu -D ATHANOR_BUILD_TESTS=OFF
  cmake --build --preset cpu --target athanor
  athanor=$root/build/cpu/athanor
fi
cd "$here"

# fill VALUE: VALUE as it stands in a JSON string, safe as the replacement of sed.
fill() {
  printf '%s' "$1" | sed -e 's/\\/\\\\/g' -e 's/"/\\"/g' | sed -e 's/[\\&|]/\\&/g'
}
sed -e "s|{{name}}|$(fill "$name")|g" -e "s|{{author}}|$(fill "$author")|g" \
  identity.jsonl >data/identity.jsonl

questions=("Who are you?" "Who made you?" "Are you ChatGPT?" "What is the capital of France?"
           "Write one sentence about the sea.")
ask_all() {  # ask_all MODEL [option ...]: the questions as one question each
  local question
  for question in "${questions[@]}"; do
    printf '\n> %s\n' "$question"
    "$athanor" chat "$@" --max-new-tokens 60 <<<"$question"
  done
}

echo "== Before =="
ask_all data/model

"$athanor" train config.yaml overwrite_output_dir=true "${overrides[@]}"

echo "== After: the same model with the adapter =="
ask_all data/model --adapter out

echo "== Merged: a model of its own, in out/merged =="
"$athanor" export data/model --adapter out --output out/merged
ask_all out/merged
