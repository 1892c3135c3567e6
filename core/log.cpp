#include "core/log.h"

#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <memory>

namespace athanor {
namespace {

thread_local int this_rank = 0;
thread_local int log_world = 1;

spdlog::logger& logger() {
  static const std::shared_ptr<spdlog::logger> instance = [] {
    auto made = std::make_shared<spdlog::logger>("athanor",
                                                 std::make_shared<spdlog::sinks::stderr_sink_mt>());
    made->set_pattern("%H:%M:%S %v");
    return made;
  }();
  return *instance;
}

std::string prefixed(const char* level, const std::string& message) {
  std::string text = level;
  if (log_world > 1) text += "[rank " + std::to_string(this_rank) + "] ";
  return text + message;
}

}  // namespace

void set_log_rank(int rank, int world_size) {
  this_rank = rank;
  log_world = world_size;
}

int log_rank() { return this_rank; }

void log_info(const std::string& message) {
  if (this_rank == 0) logger().info("{}", message);
}
void log_warning(const std::string& message) {
  logger().warn("{}", prefixed("warning: ", message));
}
void log_error(const std::string& message) { logger().error("{}", prefixed("error: ", message)); }

}  // namespace athanor
