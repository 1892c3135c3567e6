#!/usr/bin/env bash
# Fails when clang-format 14 would change a C++ file. Usage: check_format.sh [--fix]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

how=(--dry-run -Werror)
[[ ${1:-} != --fix ]] || how=(-i)
git ls-files -z '*.h' '*.cpp' '*.cu' '*.cuh' | xargs -0 -n 32 clang-format-14 "${how[@]}"
