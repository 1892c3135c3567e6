// The connections of ranks on one host: a stream socket for each pair of them.
#pragma once

#include <cstddef>
#include <vector>

namespace athanor {

// All are closed with this object and by exec; a rank keeps its own ends only, or it would keep a
// dead peer's connection open.
class SocketMesh {
 public:
  explicit SocketMesh(int ranks);
  ~SocketMesh() { close_all(); }
  SocketMesh(const SocketMesh&) = delete;
  SocketMesh& operator=(const SocketMesh&) = delete;

  // [r]: the end of `rank` that leads to rank r; -1 for itself.
  std::vector<int> of_rank(int rank) const {
    const auto row = ends_.begin() + rank * ranks_;
    return {row, row + ranks_};
  }

 private:
  int& end(int from, int to) { return ends_[static_cast<size_t>(from * ranks_ + to)]; }
  void connect(int a, int b);
  void close_all();

  int ranks_;
  std::vector<int> ends_;
};

}  // namespace athanor
