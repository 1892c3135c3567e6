// Exit codes are a promise to scripts; checked arithmetic guards sizes that come from files.
#include "core/error.h"

#include <gtest/gtest.h>

#include <limits>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace athanor {
namespace {

const std::vector<std::pair<ErrorKind, int>> kCodes = {
    {ErrorKind::kUsage, 2},     {ErrorKind::kBadInput, 65},    {ErrorKind::kLostPeer, 69},
    {ErrorKind::kInternal, 70}, {ErrorKind::kDoesNotFit, 71},  {ErrorKind::kIo, 74},
    {ErrorKind::kStopped, 75},  {ErrorKind::kDiverged, 76},    {ErrorKind::kConfig, 78},
    {ErrorKind::kHang, 124},    {ErrorKind::kInterrupted, 130}};

TEST(Error, EveryKindHasItsExitCodeAndName) {
  std::set<int> codes;
  std::set<std::string> names;
  for (const auto& [kind, code] : kCodes) {
    EXPECT_EQ(exit_code(kind), code);
    codes.insert(exit_code(kind));
    names.insert(error_kind_name(kind));
  }
  EXPECT_EQ(codes.size(), kCodes.size());
  EXPECT_EQ(names.size(), kCodes.size());
  EXPECT_EQ(codes.count(0), 0u);
}

TEST(Error, CarriesItsMessage) {
  const Error error(ErrorKind::kConfig, "lr: must be positive");
  EXPECT_STREQ(error.what(), "lr: must be positive");
  EXPECT_EQ(error.kind(), ErrorKind::kConfig);
}

TEST(Check, ThrowsWhereAndWhatOnlyOnFailure) {
  int evaluated = 0;
  const auto detail = [&] {
    ++evaluated;
    return std::string("lanes");
  };
  ATHANOR_CHECK(1 + 1 == 2, detail());
  EXPECT_EQ(evaluated, 0);
  try {
    ATHANOR_CHECK(1 + 1 == 3, detail());
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kInternal);
    EXPECT_NE(error.message().find("error_test.cpp"), std::string::npos);
    EXPECT_NE(error.message().find("lanes"), std::string::npos);
    EXPECT_NE(error.message().find("1 + 1 == 3"), std::string::npos);
  }
}

TEST(Narrow, KeepsTheValueOrThrows) {
  EXPECT_EQ(narrow<int32_t>(int64_t{-5}), -5);
  EXPECT_EQ(narrow<uint32_t>(int64_t{4294967295}), 4294967295u);
  EXPECT_THROW(narrow<int32_t>(int64_t{1} << 31), Error);
  EXPECT_THROW(narrow<uint32_t>(int64_t{-1}), Error);
  EXPECT_THROW(narrow<uint64_t>(int64_t{-1}), Error);
  EXPECT_THROW(narrow<int64_t>(std::numeric_limits<uint64_t>::max()), Error);
}

TEST(CheckedArithmetic, RefusesOverflowAndNegatives) {
  const int64_t most = std::numeric_limits<int64_t>::max();
  EXPECT_EQ(checked_mul(3, 4, "rows"), 12);
  EXPECT_EQ(checked_mul(0, most, "rows"), 0);
  EXPECT_EQ(checked_add(most - 1, 1, "rows"), most);
  for (const auto& call : {+[] { checked_mul(int64_t{1} << 40, int64_t{1} << 40, "rows"); },
                           +[] { checked_mul(-1, 1, "rows"); }, +[] { checked_mul(1, -1, "rows"); },
                           +[] { checked_add(std::numeric_limits<int64_t>::max(), 1, "rows"); },
                           +[] { checked_add(-1, 2, "rows"); }}) {
    try {
      call();
      FAIL();
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kBadInput);
      EXPECT_EQ(error.message().rfind("rows: ", 0), 0u) << error.message();
    }
  }
}

}  // namespace
}  // namespace athanor
