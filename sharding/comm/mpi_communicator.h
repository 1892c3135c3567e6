// Ranks as MPI processes. All MPI calls, MPI_Init_thread included, run on the communication
// stream's thread: non-blocking calls tested with a back-off, because Open MPI would spin.
#pragma once

#include <memory>

#include "core/buffer.h"
#include "core/stream.h"
#include "sharding/comm/communicator.h"

namespace athanor {

bool built_with_mpi();

// Starts MPI on `stream` (which must have a thread of its own) and makes MPI_COMM_WORLD's
// communicator; its destructor finalises MPI on the same stream, which must outlive it. Built
// without MPI, throws kConfig naming the option.
std::unique_ptr<Communicator> make_mpi_communicator(Allocator& allocator, Stream& stream);

}  // namespace athanor
