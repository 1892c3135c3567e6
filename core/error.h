// The one exception of the project and the table that turns its kind into an exit code.
// Throw Error for what a user, a file, a device or a peer can cause; use ATHANOR_CHECK for broken
// invariants. A message is one line: what failed (file:line, key, rank, step), what was needed and
// found, what to do.
#pragma once

#include <cstdint>
#include <exception>
#include <string>
#include <utility>

namespace athanor {

// Each kind has exactly one process exit code (see exit_code).
enum class ErrorKind {
  kUsage,        // 2   command line
  kBadInput,     // 65  bad data or model file
  kLostPeer,     // 69  another rank is gone
  kInternal,     // 70  broken invariant
  kDoesNotFit,   // 71  memory budget
  kIo,           // 74  read or write failed
  kStopped,      // 75  stopped by a signal after saving
  kDiverged,     // 76  non-finite numbers
  kConfig,       // 78  configuration
  kHang,         // 124 no progress
  kInterrupted,  // 130 second Ctrl-C
};

int exit_code(ErrorKind kind);
const char* error_kind_name(ErrorKind kind);

class Error : public std::exception {
 public:
  Error(ErrorKind kind, std::string message) : kind_(kind), message_(std::move(message)) {}

  ErrorKind kind() const noexcept { return kind_; }
  const std::string& message() const noexcept { return message_; }
  const char* what() const noexcept override { return message_.c_str(); }

 private:
  ErrorKind kind_;
  std::string message_;
};

[[noreturn]] void check_failed(const char* condition, const char* file, int line,
                               const std::string& detail);

// Always on. `detail` is evaluated only on failure.
#define ATHANOR_CHECK(condition, detail)                                 \
  do {                                                                   \
    if (!(condition)) [[unlikely]]                                       \
      ::athanor::check_failed(#condition, __FILE__, __LINE__, (detail)); \
  } while (false)

// Conversion that throws kInternal when the value does not survive it.
template <class To, class From>
To narrow(From value) {
  const To result = static_cast<To>(value);
  ATHANOR_CHECK(static_cast<From>(result) == value && (result < To{}) == (value < From{}),
                "value " + std::to_string(value) + " does not fit the narrower type");
  return result;
}

// a * b for sizes that come from files; throws kBadInput naming `what` on overflow or negatives.
int64_t checked_mul(int64_t a, int64_t b, const char* what);
int64_t checked_add(int64_t a, int64_t b, const char* what);

}  // namespace athanor
