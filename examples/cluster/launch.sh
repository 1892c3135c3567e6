#!/usr/bin/env bash
# Four ranks on the machines in `hosts`, by mpirun over ssh; started again up to 20 times.
#   launch.sh [key=value ...]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
exec athanor launch -n 4 --hostfile hosts config.yaml max_restarts=20 "$@"
