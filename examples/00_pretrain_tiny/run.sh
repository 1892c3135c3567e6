#!/usr/bin/env bash
# Generates the corpus and trains the tiny model. Usage: run.sh [ATHANOR] [key=value ...]
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

if [[ ! -s data/corpus.jsonl ]]; then
  python3 "$root/tools/make_tiny_corpus.py" --output data/corpus.jsonl --size 8000000 --seed 1
fi
"$athanor" train config.yaml "$@"
"$athanor" generate out --prompt "Once upon a time" --max-new-tokens 120
"$athanor" generate out --chat --prompt "Tell me a story about a fox." --max-new-tokens 160
