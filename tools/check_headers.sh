#!/usr/bin/env bash
# Compiles each header alone. Usage: check_headers.sh [BUILD_FOLDER]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
build=$(realpath "${1:-build/cpu}")

# The flags are those of the one file that includes most.
flags=$(python3 - "$build/compile_commands.json" <<'PYTHON'
import json, shlex, sys
for entry in json.load(open(sys.argv[1])):
    if entry["file"].endswith("runtime/train/run.cpp"):
        words = shlex.split(entry["command"])
        print(shlex.join(w for w in words[:words.index("-o")] if w != "-c"))
PYTHON
)
git ls-files '*.h' ':!tests' ':!bench' | xargs -n 1 -P "$(nproc)" sh -c '
  echo "#include \"$1\"" | '"$flags"' -fsyntax-only -x c++ - || { echo "$1 does not compile alone" >&2; exit 255; }' sh
echo "check_headers: $(git ls-files '*.h' ':!tests' ':!bench' | wc -l) headers compile alone"
