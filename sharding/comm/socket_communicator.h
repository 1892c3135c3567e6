// Ranks as processes of one host, connected by a Unix stream socket for each pair. Whoever starts
// the ranks makes the pairs and lets each rank inherit its ends: there are no names in the file
// system and no shared memory, so nothing is left behind however a rank ends. A rank that is gone
// closes its sockets, which its peers notice at once (kLostPeer).
#pragma once

#include <memory>
#include <vector>

#include "core/buffer.h"
#include "core/stream.h"
#include "sharding/comm/communicator.h"

namespace athanor {

// sockets[r]: this rank's end of the connection to rank r, owned and closed by the communicator;
// sockets[rank] is not used. The world's size is their number.
std::unique_ptr<Communicator> make_socket_communicator(int rank, std::vector<int> sockets,
                                                       Allocator& allocator);

}  // namespace athanor
