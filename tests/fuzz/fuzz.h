// What the fuzzers share: the input as a file in a folder of their own, and which errors are fine.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

#include "core/error.h"
#include "tests/support/temp_folder.h"

namespace athanor::fuzz {

inline std::string_view text_of(const uint8_t* data, size_t size) {
  return {reinterpret_cast<const char*>(data), size};
}

inline const testing::TempFolder& folder() {
  static const testing::TempFolder instance;
  return instance;
}

// Error is the answer to bad input, but for a broken invariant; all else leaves the fuzzer and ends
// it.
template <class Body>
void expect_only_errors(const Body& body) {
  try {
    body();
  } catch (const Error& error) {
    if (error.kind() == ErrorKind::kInternal) throw;
    // Each problem is one line: nothing from the input breaks it.
    if (error.kind() == ErrorKind::kConfig) return;
    ATHANOR_CHECK(error.message().find('\n') == std::string::npos, error.message());
  }
}

}  // namespace athanor::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);
