// Runs a case on thread ranks and keeps every bit that the numerics contract speaks of.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "runtime/train/trainer.h"
#include "tests/multirank/equivalence_case.h"

namespace athanor::testing {

struct Trace {
  std::vector<StepResult> steps;
  std::map<std::string, std::vector<float>> weights;  // trained masters after the last step
};

// Fails with the first Error of any rank. All ranks' traces are compared; the first is returned.
Trace run_case(const EquivalenceCase& wanted);

// Empty when all bits are equal, else what differs first.
std::string first_difference(const Trace& got, const Trace& expected);

}  // namespace athanor::testing
