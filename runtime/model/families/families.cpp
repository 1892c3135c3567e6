#include "runtime/model/families/families.h"

namespace athanor {

std::span<const Family> families() {
  static constexpr Family kFamilies[] = {{"llama", parse_llama}};
  return kFamilies;
}

}  // namespace athanor
