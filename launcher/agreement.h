// Ranks that are processes have each read their own command line, files and CPU. They compare what
// decides the numbers before they compute anything together.
#pragma once

#include <span>
#include <string>
#include <utility>
#include <vector>

#include "core/stream.h"
#include "runtime/train/run.h"
#include "sharding/comm/communicator.h"

namespace athanor {

// Name and value, one line each.
using RunFacts = std::vector<std::pair<std::string, std::string>>;

// The resolved configuration but for what may differ between hosts or only says where output goes;
// digests of config.json and of the micro-batches; with bf16 the vector instructions, whose
// products differ; the version of the program.
RunFacts facts_of_run(const ResolvedRun& run, const RunData& data);

// Of the settings alone, before anything is resolved; what only says how a run starts is left out.
std::string settings_hash(const RunConfig& config);

// The first rank, and of its facts the first, that differs from rank 0's, in one line that names
// the fact, both ranks and both values; empty when all agree.
std::string find_disagreement(std::span<const RunFacts> facts_of_ranks);

// Collective: find_disagreement of all ranks' facts, the same on every rank.
std::string compare_ranks(const RunFacts& facts, Communicator& communicator, Stream& stream);

}  // namespace athanor
