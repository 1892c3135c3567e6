// Byte alignments between edited and original text.
#include "runtime/data/aligned_text.h"

#include "core/error.h"

namespace athanor {

ByteSpan AlignedText::origin(ByteSpan span) const {
  if (origins_.empty()) return {base_ + span.begin, base_ + span.end};
  if (span.size() == 0) {
    const int64_t at =
        span.begin < size() ? origins_[span.begin].begin : int64_t{origins_.back().end};
    return {at, at};
  }
  return {origins_[span.begin].begin, origins_[span.end - 1].end};
}

AlignedText AlignedText::slice(ByteSpan span) const {
  AlignedText result(view(span), base_ + span.begin);
  if (!origins_.empty()) {
    result.origins_.assign(origins_.begin() + span.begin, origins_.begin() + span.end);
  }
  return result;
}

AlignedTextBuilder::AlignedTextBuilder(const AlignedText& source) : source_(source) {
  result_.text_.reserve(source.text_.size() + source.text_.size() / 8 + 8);
  result_.origins_.reserve(source.text_.size() + source.text_.size() / 8 + 8);
}

void AlignedTextBuilder::keep(ByteSpan span) {
  result_.text_ += source_.view(span);
  std::vector<AlignedText::Origin>& out = result_.origins_;
  if (!source_.origins_.empty()) {
    out.insert(out.end(), source_.origins_.begin() + span.begin,
               source_.origins_.begin() + span.end);
    return;
  }
  const uint32_t base = narrow<uint32_t>(source_.base_ + span.begin);
  narrow<uint32_t>(source_.base_ + span.end);
  const size_t old_size = out.size();
  out.resize(old_size + static_cast<size_t>(span.size()));
  for (uint32_t i = 0; i < static_cast<uint32_t>(span.size()); ++i) {
    out[old_size + i] = {base + i, base + i + 1};
  }
}

void AlignedTextBuilder::put(std::string_view text, ByteSpan replaced) {
  const ByteSpan from = source_.origin(replaced);
  result_.text_ += text;
  result_.origins_.insert(result_.origins_.end(), text.size(),
                          {narrow<uint32_t>(from.begin), narrow<uint32_t>(from.end)});
}

}  // namespace athanor
