// Character properties and case mappings as Python's str methods use them. The tables are generated
// (tools/make_jinja_unicode.py); unicode.h has the functions to call.
#pragma once

#include <cstdint>
#include <span>

namespace athanor::jinja {

// first, first + step, …, last
struct CharacterRun {
  uint32_t first;
  uint32_t last;
  uint32_t step;
};
using CharacterSet = std::span<const CharacterRun>;

// Characters of the run become themselves + delta.
struct MappingRun {
  uint32_t first;
  uint32_t last;
  uint32_t step;
  int32_t delta;
};
// Characters that become several; 0 fills up.
struct SpecialMapping {
  uint32_t from;
  uint32_t to[3];
};
struct CharacterMapping {
  std::span<const MappingRun> runs;
  std::span<const SpecialMapping> specials;
};

extern const CharacterSet kPrintable;
extern const CharacterSet kAlpha;
extern const CharacterSet kDecimal;
extern const CharacterSet kDigit;
extern const CharacterSet kNumeric;
extern const CharacterSet kLower;
extern const CharacterSet kUpper;
extern const CharacterSet kTitle;
extern const CharacterSet kCased;
extern const CharacterSet kCaseIgnorable;
extern const CharacterMapping kToLower;
extern const CharacterMapping kToUpper;
extern const CharacterMapping kToTitle;

}  // namespace athanor::jinja
