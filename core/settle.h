// Waiting for a stream where its error is not the point: in destructors, and after another error.
#pragma once

#include "core/stream.h"

namespace athanor {

// Returns when nothing runs on the stream any more. A stream that has failed runs nothing; its
// error is for those who use it.
inline void settle(Stream& stream) noexcept {
  try {
    stream.synchronize();
  } catch (...) {
    // As said above.
  }
}

}  // namespace athanor
