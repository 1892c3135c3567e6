# Shared by .ci/run and .ci/full: runs stages, times them, counts tests. Sourced from the root.
export CI=true OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
export OMPI_MCA_rmaps_base_oversubscribe=1
# A checkout may belong to another user than the one who runs this.
export GIT_CONFIG_COUNT=1 GIT_CONFIG_KEY_0=safe.directory GIT_CONFIG_VALUE_0='*'
exec </dev/null

# Larger inputs of the tests that are not part of this repository; tests that need them skip.
if [[ -z ${ATHANOR_TEST_DATA:-} && -d ../shared/testdata ]]; then
  ATHANOR_TEST_DATA=$(realpath ../shared/testdata)
  export ATHANOR_TEST_DATA
fi

stage_limit=2400  # seconds; a stage that hangs is a failure (124)
table=()
failed_stages=0
tests_passed=0
tests_failed=0
tests_skipped=0

# count_tests LOG: adds what ctest, or else a GoogleTest program, reported.
count_tests() {
  local log=$1 failed total passed skipped
  if read -r failed total < <(sed -nE \
    's/^[0-9]+% tests passed, ([0-9]+) tests? failed out of ([0-9]+)$/\1 \2/p' "$log" | tail -n 1)
  then
    skipped=$(grep -cE '\*\*\*Skipped' "$log" || true)
    passed=$((total - failed - skipped))
  else
    passed=$(gtest_count PASSED "$log")
    failed=$(gtest_count FAILED "$log")
    skipped=$(gtest_count SKIPPED "$log")
  fi
  tests_passed=$((tests_passed + passed))
  tests_failed=$((tests_failed + failed))
  tests_skipped=$((tests_skipped + skipped))
}

gtest_count() {  # gtest_count PASSED|FAILED|SKIPPED LOG
  local count
  count=$(sed -nE "s/^\\[  $1 *\\] ([0-9]+) tests?[.,].*/\\1/p" "$2" | tail -n 1)
  echo "${count:-0}"
}

# stage NAME command ...: runs it, returns its status.
stage() {
  local name=$1 status=0 start=$SECONDS log
  shift
  printf '\n== %s: %s\n' "$name" "$*"
  log=$(mktemp)
  timeout "$stage_limit" "$@" 2>&1 | tee "$log" || status=$?
  count_tests "$log"
  rm -f "$log"
  local verdict=passed
  if [[ $status -ne 0 ]]; then
    verdict="FAILED ($status)"
    failed_stages=$((failed_stages + 1))
  fi
  table+=("$(printf '%-24s %-12s %5d s' "$name" "$verdict" $((SECONDS - start)))")
  return "$status"
}

# skip NAME why
skip() {
  printf '\n== %s: SKIPPED: %s\n' "$1" "$2"
  table+=("$(printf '%-24s %-12s %s' "$1" SKIPPED "$2")")
}

# Prints the table and the counts, and ends the script.
finish() {
  printf '\n== summary\n'
  printf '%s\n' "${table[@]}"
  printf '%-24s %-12s %5d s\n' total "" "$SECONDS"
  echo "stages: $((${#table[@]} - failed_stages)) of ${#table[@]} without failure"
  echo "tests: $tests_passed passed, $tests_failed failed, $tests_skipped skipped"
  [[ $failed_stages -eq 0 && $tests_failed -eq 0 ]] || exit 1
  exit 0
}
