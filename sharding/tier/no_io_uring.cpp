// Chosen by CMake where liburing was not found or is switched off.
#include "sharding/tier/io_queue.h"

namespace athanor {

std::unique_ptr<IoQueue> make_io_uring_queue(int, std::string& refusal) {
  refusal =
      "this build has no io_uring: configure with -DATHANOR_IO_URING=ON (package liburing-dev)";
  return nullptr;
}

}  // namespace athanor
