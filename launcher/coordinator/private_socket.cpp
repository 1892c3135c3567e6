#include "launcher/coordinator/private_socket.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <system_error>

#include "core/error.h"

namespace athanor {
namespace {

namespace fs = std::filesystem;

constexpr int kBacklog = 1024;  // all ranks may come at once
constexpr char kName[] = "coordinator";

std::string reason() { return std::generic_category().message(errno); }

bool fits(const std::string& path) { return path.size() < sizeof(sockaddr_un::sun_path); }

sockaddr_un address_of(const std::string& path) {
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  return address;
}

// The user's own folder for such things, else that for temporary files, else the one whose name is
// short enough in any case.
fs::path make_private_folder() {
  const char* const runtime = std::getenv("XDG_RUNTIME_DIR");
  std::error_code ignored;
  const fs::path places[] = {runtime == nullptr ? "" : runtime, fs::temp_directory_path(ignored),
                             "/tmp"};
  std::string problem;
  for (const fs::path& place : places) {
    std::string folder = place / "athanor-XXXXXX";
    if (!place.is_absolute() || !fits(folder + "/" + kName)) continue;
    if (::mkdtemp(folder.data()) != nullptr) return folder;
    problem = folder + ": " + reason();
  }
  throw Error(ErrorKind::kIo, "coordinator: no folder for its socket: " + problem);
}

}  // namespace

PrivateSocket::PrivateSocket()
    : folder_(make_private_folder()),
      path_(folder_ / kName),
      listener_(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)) {
  const sockaddr_un address = address_of(path_);
  if (listener_.get() < 0 ||
      ::bind(listener_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
      ::listen(listener_.get(), kBacklog) != 0) {
    const std::string problem = path_.string() + ": cannot listen: " + reason();
    std::error_code ignored;
    fs::remove_all(folder_, ignored);
    throw Error(ErrorKind::kIo, problem);
  }
}

PrivateSocket::~PrivateSocket() {
  std::error_code ignored;
  fs::remove_all(folder_, ignored);
}

FileDescriptor connect_private(const std::string& path) {
  struct stat status = {};
  if (!fs::path(path).is_absolute() || !fits(path)) {
    throw Error(ErrorKind::kUsage,
                "coordinator: found address " + path +
                    ", needed the absolute path of a Unix socket; there is no port on a network, "
                    "since nobody would be asked there who they are");
  }
  if (::stat(path.c_str(), &status) == 0 && !S_ISSOCK(status.st_mode)) {
    throw Error(ErrorKind::kUsage, "coordinator: " + path + " is not a socket");
  }
  const sockaddr_un address = address_of(path);
  FileDescriptor socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (socket.get() < 0 ||
      ::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    throw Error(ErrorKind::kLostPeer, "coordinator: nobody listens at " + path + ": " + reason());
  }
  const int64_t user = peer_user(socket.get());
  if (user != static_cast<int64_t>(::geteuid())) {
    throw Error(ErrorKind::kUsage, "coordinator: " + path + " belongs to user " +
                                       std::to_string(user) + ", needed " +
                                       std::to_string(::geteuid()));
  }
  return socket;
}

int64_t peer_user(int socket) {
  ucred credentials = {};
  socklen_t size = sizeof credentials;
  if (::getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &credentials, &size) != 0) return -1;
  return static_cast<int64_t>(credentials.uid);
}

}  // namespace athanor
