#!/usr/bin/env bash
# Lints every shell script of the tree with shellcheck: warnings and errors.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
if ! command -v shellcheck >/dev/null; then
  echo "check_shell: SKIPPED: shellcheck is not installed (tools/setup.sh brings it)" >&2
  exit 0
fi
mapfile -t scripts < <(git grep -lE '^#!.*\b(ba)?sh$' -- . | sort)
# A check of nothing is none.
[[ ${#scripts[@]} -ge 10 ]] || { echo "check_shell: found only ${#scripts[@]} scripts" >&2; exit 1; }
shellcheck -x --severity=warning "${scripts[@]}"
echo "check_shell: ${#scripts[@]} scripts"
