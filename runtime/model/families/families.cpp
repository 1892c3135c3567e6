#include "runtime/model/families/families.h"

namespace athanor {

std::span<const Family> families() {
  static constexpr Family kFamilies[] = {
      {"llama", parse_llama},     {"qwen2", parse_qwen2},   {"qwen3", parse_qwen3},
      {"mistral", parse_mistral}, {"gemma2", parse_gemma2}, {"gemma3_text", parse_gemma3_text},
      {"phi3", parse_phi3}};
  return kFamilies;
}

}  // namespace athanor
