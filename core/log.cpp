#include "core/log.h"

#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <memory>
#include <mutex>

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

// Lines of the log go above it.
class StatusLine {
 public:
  std::atomic<bool> allowed{false};

  void set(const std::string& text) {
    if (!allowed) return;
    const std::lock_guard lock(mutex_);
    const auto now = std::chrono::steady_clock::now();
    // More often nobody can read it.
    if (!text.empty() && !text_.empty() && now - drawn_ < std::chrono::milliseconds(100)) {
      text_ = text;
      return;
    }
    text_ = text;
    drawn_ = now;
    draw();
  }

  void log(spdlog::level::level_enum level, const std::string& message) {
    if (!allowed) {
      logger().log(level, "{}", message);
      return;
    }
    const std::lock_guard lock(mutex_);
    std::fputs("\r\033[K", stderr);
    logger().log(level, "{}", message);
    if (!text_.empty()) draw();
  }

 private:
  void draw() const {
    winsize size = {};
    const bool known = ::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 1;
    std::fprintf(stderr, "\r\033[K%s", text_.substr(0, known ? size.ws_col - 1u : 79u).c_str());
    std::fflush(stderr);
  }

  std::mutex mutex_;
  std::string text_;
  std::chrono::steady_clock::time_point drawn_;
};

StatusLine& status_line() {
  static StatusLine line;
  return line;
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
  if (this_rank == 0) status_line().log(spdlog::level::info, message);
}
void log_warning(const std::string& message) {
  status_line().log(spdlog::level::warn, prefixed("warning: ", message));
}
void log_error(const std::string& message) {
  status_line().log(spdlog::level::err, prefixed("error: ", message));
}

void allow_status_line() { status_line().allowed = true; }
bool has_status_line() { return status_line().allowed; }
void set_status_line(const std::string& text) { status_line().set(text); }

}  // namespace athanor
