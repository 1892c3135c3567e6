// Exit codes and checked arithmetic.
#include "core/error.h"

namespace athanor {
namespace {

struct KindRow {
  ErrorKind kind;
  int code;
  const char* name;
};

// The one table of exit codes.
constexpr KindRow kKinds[] = {
    {ErrorKind::kUsage, 2, "usage"},
    {ErrorKind::kBadInput, 65, "bad input"},
    {ErrorKind::kLostPeer, 69, "lost peer"},
    {ErrorKind::kInternal, 70, "internal error"},
    {ErrorKind::kDoesNotFit, 71, "does not fit"},
    {ErrorKind::kIo, 74, "I/O"},
    {ErrorKind::kStopped, 75, "stopped"},
    {ErrorKind::kDiverged, 76, "diverged"},
    {ErrorKind::kConfig, 78, "config"},
    {ErrorKind::kHang, 124, "hang"},
    {ErrorKind::kInterrupted, 130, "interrupted"},
};

const KindRow& row(ErrorKind kind) {
  for (const KindRow& entry : kKinds) {
    if (entry.kind == kind) return entry;
  }
  return kKinds[3];
}

}  // namespace

int exit_code(ErrorKind kind) { return row(kind).code; }
const char* error_kind_name(ErrorKind kind) { return row(kind).name; }

void check_failed(const char* condition, const char* file, int line, const std::string& detail) {
  throw Error(ErrorKind::kInternal, std::string(file) + ":" + std::to_string(line) + ": " + detail +
                                        " (expected " + condition + ")");
}

int64_t checked_mul(int64_t a, int64_t b, const char* what) {
  int64_t result = 0;
  if (a < 0 || b < 0 || __builtin_mul_overflow(a, b, &result)) {
    throw Error(ErrorKind::kBadInput, std::string(what) + ": " + std::to_string(a) + " x " +
                                          std::to_string(b) + " is not a valid size");
  }
  return result;
}

int64_t checked_add(int64_t a, int64_t b, const char* what) {
  int64_t result = 0;
  if (a < 0 || b < 0 || __builtin_add_overflow(a, b, &result)) {
    throw Error(ErrorKind::kBadInput, std::string(what) + ": " + std::to_string(a) + " + " +
                                          std::to_string(b) + " is not a valid size");
  }
  return result;
}

}  // namespace athanor
