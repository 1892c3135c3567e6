// Ranks as threads of one process: collectives read the peers' memory directly, between barriers.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "sharding/comm/communicator.h"

namespace athanor {

// What the ranks of one world share. Outlives their communicators.
class ThreadGroup {
 public:
  explicit ThreadGroup(int world_size) : pointers_(static_cast<size_t>(world_size)) {}

  int world_size() const { return static_cast<int>(pointers_.size()); }
  // Publishes this rank's pointer and returns when all have, or throws kLostPeer on all of them.
  void publish(int rank, const void* pointer);
  const void* pointer(int rank) const { return pointers_[static_cast<size_t>(rank)]; }
  // Ends what publish began: all ranks are done with one another's memory. All come here, so this
  // waits even after an abort; nobody may free what a peer still reads.
  void close();
  // Throws kLostPeer after abort().
  void barrier();
  void abort(const std::string& reason) noexcept;

 private:
  bool arrive(std::unique_lock<std::mutex>& lock, bool stop_on_abort);

  std::mutex mutex_;
  std::condition_variable arrived_cv_;
  int arrived_ = 0;
  uint64_t generation_ = 0;
  bool aborted_ = false;
  std::string reason_;
  std::vector<const void*> pointers_;
};

std::unique_ptr<Communicator> make_thread_communicator(ThreadGroup& group, int rank);

}  // namespace athanor
