// The Unix socket of a coordinator: where it is, and who is at its other end. It lies in a folder
// that only its user may enter, and both ends look at the user of the other one.
#pragma once

#include <filesystem>
#include <string>

#include "runtime/io/atomic_file.h"

namespace athanor {

// A listening socket in a folder of its own (mode 0700) that goes with this object.
class PrivateSocket {
 public:
  PrivateSocket();
  ~PrivateSocket();
  PrivateSocket(const PrivateSocket&) = delete;
  PrivateSocket& operator=(const PrivateSocket&) = delete;

  const std::filesystem::path& path() const { return path_; }
  int descriptor() const { return listener_.get(); }

 private:
  std::filesystem::path folder_;
  std::filesystem::path path_;
  FileDescriptor listener_;
};

// The socket of the coordinator at `path`, whose process has this process's user. Error(kUsage) for
// anything that is not the absolute path of a socket, addresses of a network among them;
// Error(kLostPeer) when nobody listens there.
FileDescriptor connect_private(const std::string& path);

// The user of the process at the other end; -1 when the system does not say.
int64_t peer_user(int socket);

}  // namespace athanor
