// Programs that list this file cap their vector instructions as the athanor command does, by
// ATHANOR_MAX_CPU_ISA, and say which ones they use.
#include <gtest/gtest.h>

#include <cstdio>

#include "kernels/cpu/isa.h"
#include "launcher/rank_discovery.h"

namespace {

class CpuIsaEnvironment final : public ::testing::Environment {
 public:
  void SetUp() override {
    athanor::apply_cpu_isa_cap();
    std::printf("vector instructions: %s\n", athanor::cpu_isa_name(athanor::active_cpu_isa()));
  }
};

[[maybe_unused]] const auto* const kEnvironment =
    ::testing::AddGlobalTestEnvironment(new CpuIsaEnvironment);  // GoogleTest owns it

}  // namespace
