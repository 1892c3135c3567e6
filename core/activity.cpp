#include "core/activity.h"

namespace athanor {

const char* section_name(Section section) {
  static constexpr const char* kNames[kSections] = {"starting", "loading",   "data",     "forward",
                                                    "backward", "optimizer", "evaluate", "save",
                                                    "paused",   "ending"};
  const auto index = static_cast<int>(section);
  return index >= 0 && index < kSections ? kNames[index] : "unknown";
}

}  // namespace athanor
