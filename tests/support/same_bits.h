// The contract's first rule as a test: the bits of a result never depend on the number of threads.
#pragma once

#include <gtest/gtest.h>

#include <cstddef>
#include <vector>

#include "tests/support/kernel_support.h"

namespace athanor::testing {

// run(context) builds its inputs, calls the operation and returns the bytes of all outputs.
template <class Run>
void expect_same_bits_on_any_threads(const Run& run) {
  CpuContext single(1);
  const std::vector<std::byte> expected = run(single);
  for (int threads : {2, 4, 8}) {
    CpuContext context(threads);
    EXPECT_TRUE(run(context) == expected) << "with " << threads << " threads";
  }
}

inline void append(std::vector<std::byte>& to, const std::vector<std::byte>& from) {
  to.insert(to.end(), from.begin(), from.end());
}

// Row indices, ids or positions as an [n] i32 tensor.
inline ConstTensor int_tensor(CpuContext& context, const std::vector<int32_t>& values) {
  const auto count = static_cast<int64_t>(values.size());
  return ConstTensor(context.put(values.data(), count * 4), DType::kI32, Shape{count});
}

inline std::string dtype_test_name(const ::testing::TestParamInfo<DType>& info) {
  return dtype_name(info.param);
}

}  // namespace athanor::testing
