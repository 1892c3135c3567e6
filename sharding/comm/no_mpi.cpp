// Chosen by CMake where MPI was not found or is switched off.
#include "sharding/comm/mpi_communicator.h"

namespace athanor {

bool built_with_mpi() { return false; }

std::unique_ptr<Communicator> make_mpi_communicator(Allocator&, Stream&) {
  throw Error(ErrorKind::kConfig,
              "started as one of several MPI ranks, but this build has no MPI: configure with "
              "-DATHANOR_MPI=ON (package libopenmpi-dev)");
}

}  // namespace athanor
