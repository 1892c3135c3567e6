// Programs for the tests of the fake: each has one planted bug, or none.
#pragma once

#include <cstdint>

namespace fake_cuda::testing {

enum class Bug {
  kNone,
  kMissingBarrier,      // block sum without its __syncthreads
  kMissingWarpSync,     // neighbours in a warp exchange through shared memory
  kStorePastTheEnd,     // one element behind an allocation
  kStoreIntoGuardPage,  // a page behind it
  kSharedPastTheEnd,
  kUseAfterFree,
  kHostPointer,          // as an argument
  kHostPointerInStruct,  // inside one
  kHostReadsDevice,
  kHostWritesDevice,
  kMissingEvent,      // consumer does not wait for the producer
  kMissingBackEvent,  // producer does not wait for the consumer before it overwrites
  kHiddenBackEvent,   // the same, but nobody reads what it damages
  kRaceBetweenBlocks,
  kDivergentBarrier,
  kEarlyExit,
  kAbsentLanes,
  kMisaligned,
  kPageableCopy,
  kReadBeforeCopyEnds,
  kDefaultStream,
};

// Runs the program with the bug; true when its results are right.
bool run_planted(Bug bug);

}  // namespace fake_cuda::testing
