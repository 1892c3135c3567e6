// Scalars: what counts as a number, a size, a bool, and the distance between names.
#include "runtime/config/config_values.h"

#include <gtest/gtest.h>

namespace athanor::config_detail {
namespace {

TEST(ConfigValues, ReadsNumbersAsPeopleWriteThem) {
  EXPECT_EQ(parse_real("1e-4"), 1e-4);
  EXPECT_EQ(parse_real("1.0e-4"), 1e-4);
  EXPECT_EQ(parse_real(" +.5 "), 0.5);
  EXPECT_EQ(parse_real("3"), 3.0);
  for (const char* text : {"", "nan", "inf", "1e999", "1.0x", "0x10", "1,5", "+-1"}) {
    EXPECT_EQ(parse_real(text), std::nullopt) << text;
  }
  EXPECT_EQ(parse_int("-1"), -1);
  for (const char* text : {"", "1.0", "1e3", "9223372036854775808", "ten"}) {
    EXPECT_EQ(parse_int(text), std::nullopt) << text;
  }
}

TEST(ConfigValues, ReadsSizesInBinaryAndDecimalUnits) {
  EXPECT_EQ(parse_bytes("1024"), 1024);
  EXPECT_EQ(parse_bytes("16GiB"), int64_t{16} << 30);
  EXPECT_EQ(parse_bytes("16GB"), 16'000'000'000);
  EXPECT_EQ(parse_bytes("1.5 KiB"), 1536);
  EXPECT_EQ(parse_bytes("7 b"), 7);
  for (const char* text : {"", "GiB", "16G", "16 XB", "-1GiB", "1.2.3GB", "99999999PiB"}) {
    EXPECT_EQ(parse_bytes(text), std::nullopt) << text;
  }
}

TEST(ConfigValues, ReadsBools) {
  for (const char* text : {"true", "True", "yes", "on"}) EXPECT_EQ(parse_bool(text), true) << text;
  for (const char* text : {"false", "NO", "off"}) EXPECT_EQ(parse_bool(text), false) << text;
  for (const char* text : {"", "1", "t", "none"}) EXPECT_EQ(parse_bool(text), std::nullopt);
}

TEST(ConfigValues, WritesRealsThatReadBackAsReals) {
  for (const double value : {0.0, 1.0, 5e-5, 1e-8, 0.1, 1e300, 1.0 / 3.0, 123456789.0}) {
    const std::string text = format_real(value);
    EXPECT_EQ(parse_real(text), value) << text;
    EXPECT_NE(text.find('.'), std::string::npos) << text << ": PyYAML would read a string";
  }
}

TEST(ConfigValues, CountsEdits) {
  EXPECT_EQ(edit_distance("lora_rank", "lora_rank"), 0);
  EXPECT_EQ(edit_distance("lora_rnak", "lora_rank"), 1);
  EXPECT_EQ(edit_distance("lora_rnk", "lora_rank"), 1);
  EXPECT_EQ(edit_distance("", "abc"), 3);
}

}  // namespace
}  // namespace athanor::config_detail
