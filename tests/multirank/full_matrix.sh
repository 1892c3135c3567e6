#!/bin/sh
# The full cross product of the equivalence tests, natively and with AVX2 only; one line in the end.
#   tests/multirank/full_matrix.sh BUILD_FOLDER
set -u
build=${1:?usage: full_matrix.sh BUILD_FOLDER}
program=$build/tests/multirank/test_multirank
log=$(mktemp)
trap 'rm -f "$log"' EXIT
summary=
failed=0
for isa in native avx2; do
  begin=$(date +%s)
  if [ "$isa" = native ]; then
    unset ATHANOR_MAX_CPU_ISA
  else
    export ATHANOR_MAX_CPU_ISA=$isa
  fi
  ATHANOR_FULL_MATRIX=1 "$program" --gtest_brief=1 --gtest_filter='FullMatrix.*' >"$log" 2>&1
  code=$?
  counts=$(sed -n 's/^full matrix: //p' "$log")
  used=$(sed -n 's/^vector instructions: //p' "$log")
  if [ $code -ne 0 ] || [ -z "$counts" ]; then
    cat "$log"
    counts="FAILED (exit $code) ${counts}"
    failed=1
  fi
  summary="$summary${summary:+; }${used:-$isa}: $counts, $(($(date +%s) - begin)) s"
done
echo "equivalence: $summary"
exit $failed
