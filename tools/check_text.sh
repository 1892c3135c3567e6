#!/usr/bin/env bash
# Fails on what does not belong in the tree: paths of one machine, open ends, getenv outside
# launcher/ and tests/, process exits inside libraries.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
failed=0

# refuse WHAT PATTERN [pathspec ...]
refuse() {
  local what=$1 pattern=$2 status=0
  shift 2
  git grep -nIE "$pattern" -- "$@" ':!tools/check_text.sh' ':!LICENSE' || status=$?
  case $status in
    0) echo "check_text: $what" >&2; failed=1 ;;
    1) ;;
    *) exit "$status" ;;
  esac
}

refuse "paths of one machine" '(^|[^[:alnum:]_.$}])/(work|root|home|Users)/|/tmp/[[:alnum:]_]+/' \
  ':!*tokenizer.json' ':!*.jsonl'
refuse "open ends" '\b(TODO|FIXME|XXX)\b' '*.h' '*.cpp' '*.cu' '*.cuh' '*.sh' '*.py' '*.cmake' '*CMakeLists.txt'
refuse "the environment is read in launcher/ only" '\bgetenv\b' '*.h' '*.cpp' '*.cu' ':!launcher' ':!tests' ':!bench'
refuse "libraries throw, they do not exit" '(^|[^[:alnum:]_.>])(_?exit|quick_exit|std::abort)\(' core kernels sharding runtime
exit "$failed"
