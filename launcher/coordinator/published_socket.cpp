#include "launcher/coordinator/published_socket.h"

#include <unistd.h>

#include <system_error>

#include "core/error.h"
#include "launcher/coordinator/private_socket.h"
#include "runtime/io/atomic_file.h"

namespace athanor {
namespace {

namespace fs = std::filesystem;

constexpr char kFile[] = "coordinator";
constexpr int64_t kMaxBytes = 4096;

std::string read_path(const fs::path& file) {
  std::error_code failed;
  if (!fs::is_regular_file(file, failed)) return "";
  std::string path = read_file(file, kMaxBytes);
  while (!path.empty() && path.back() == '\n') path.pop_back();
  return path;
}

// Only what PrivateSocket makes, and a folder only when nothing else is in it.
void remove_leftover(const fs::path& socket) {
  const fs::path folder = socket.parent_path();
  std::error_code failed;
  if (!folder.filename().string().starts_with("athanor-")) return;
  if (fs::is_socket(socket, failed)) fs::remove(socket, failed);
  ::rmdir(folder.c_str());
}

}  // namespace

PublishedSocket::PublishedSocket(const fs::path& logs, const fs::path& socket)
    : file_(logs / kFile) {
  try {
    const std::string old = read_path(file_);
    if (!old.empty() && !find_published_socket(logs)) remove_leftover(old);
  } catch (const Error&) {
    // No socket of ours is named there.
  }
  write_file_atomic(file_, socket.string() + "\n");
}

PublishedSocket::~PublishedSocket() {
  std::error_code ignored;
  fs::remove(file_, ignored);
}

std::optional<std::string> find_published_socket(const fs::path& logs) {
  const std::string path = read_path(logs / kFile);
  if (path.empty()) return std::nullopt;
  try {
    connect_private(path);
    return path;
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::kLostPeer) throw;
    return std::nullopt;
  }
}

}  // namespace athanor
