// Philox against the known answers of the Random123 distribution (tests/kat_vectors).
#include "core/philox.h"

#include <gtest/gtest.h>

namespace athanor {
namespace {

TEST(Philox, GivesTheKnownAnswersOfRandom123) {
  EXPECT_EQ(philox4x32({0, 0, 0, 0}, 0, 0),
            (PhiloxBlock{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  const uint32_t ones = 0xffffffff;
  EXPECT_EQ(philox4x32({ones, ones, ones, ones}, ones, ones),
            (PhiloxBlock{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(philox4x32({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, 0xa4093822, 0x299f31d0),
            (PhiloxBlock{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

TEST(Philox, KeyPlacesSeedStreamAndElement) {
  const PhiloxKey key{0x299f31d0'a4093822, 0x03707344'13198a2e};
  const uint64_t block = 0x85a308d3'243f6a88;
  EXPECT_EQ(key.block(block), (PhiloxBlock{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
  const PhiloxKey small{1, 2};
  for (uint64_t element = 0; element < 12; ++element) {
    EXPECT_EQ(small.bits(element), small.block(element / 4)[element % 4]);
  }
}

TEST(Philox, UniformsStayBelowOne) {
  EXPECT_EQ(uniform_from_bits(0), 0.0f);
  EXPECT_EQ(uniform_from_bits(0xff), 0.0f);
  EXPECT_EQ(uniform_from_bits(0xffffffff), 1.0f - 0x1p-24f);
  EXPECT_EQ(uniform_from_bits(0x80000000), 0.5f);
  double sum = 0;
  const PhiloxKey key{3, 4};
  for (uint64_t element = 0; element < 100'000; ++element) sum += key.uniform(element);
  EXPECT_NEAR(sum / 1e5, 0.5, 5 * 0.2887 / 316.2);
}

}  // namespace
}  // namespace athanor
