#!/usr/bin/env bash
# Sets up, builds and runs all tests. Usage: test.sh [ctest option ...], as in: test.sh -R Partition
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

tools/setup.sh
cmake --preset cpu
cmake --build --preset cpu
ctest --preset cpu "$@"
