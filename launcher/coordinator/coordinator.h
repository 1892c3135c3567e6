// The launcher's end of the control plane: serves proto/coordinator.proto for a RunWatch on a
// private Unix socket, from threads of its own. What does not belong there (another user's process,
// bytes that are no HTTP/2, messages that are too large or malformed) is turned away and logged
// once for each kind.
#pragma once

#include <filesystem>
#include <memory>

#include "launcher/coordinator/run_watch.h"

namespace athanor {

class Coordinator {
 public:
  // `watch` outlives it. The caller has blocked the signals it waits for: threads inherit that.
  explicit Coordinator(RunWatch& watch);
  ~Coordinator();
  Coordinator(const Coordinator&) = delete;
  Coordinator& operator=(const Coordinator&) = delete;

  const std::filesystem::path& socket() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace athanor
