#include "launcher/socket_mesh.h"

#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>

#include "core/error.h"

namespace athanor {
namespace {

// As many as the hard limit has: n ranks need n (n - 1) while they are started.
void allow_descriptors() {
  rlimit limit = {};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

}  // namespace

SocketMesh::SocketMesh(int ranks) : ranks_(ranks), ends_(static_cast<size_t>(ranks * ranks), -1) {
  allow_descriptors();
  for (int a = 0; a < ranks; ++a) {
    for (int b = a + 1; b < ranks; ++b) connect(a, b);
  }
}

void SocketMesh::connect(int a, int b) {
  int pair[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0) {
    const std::string reason = std::strerror(errno);
    close_all();
    throw Error(ErrorKind::kIo, "cannot connect " + std::to_string(ranks_) +
                                    " ranks with one another: " + reason +
                                    " (ulimit -n limits them)");
  }
  end(a, b) = pair[0];
  end(b, a) = pair[1];
}

void SocketMesh::close_all() {
  for (int& file : ends_) {
    if (file >= 0) ::close(file);
    file = -1;
  }
}

}  // namespace athanor
