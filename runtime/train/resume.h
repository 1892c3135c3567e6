// Going on from a checkpoint: which ones come into question, and which one it is in the end.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "core/stream.h"
#include "runtime/checkpoint/checkpoint_reader.h"
#include "runtime/checkpoint/manifest.h"
#include "runtime/config/run_config.h"
#include "runtime/train/run.h"
#include "runtime/train/session.h"
#include "sharding/comm/communicator.h"

namespace athanor {

// Before the run is planned: the checkpoints that resume_from_checkpoint may mean, newest first,
// whose manifests can be read; empty when the run begins anew. Checks the settings against the
// newest one and takes lanes and rows of a step from there. Logs what it decides.
std::vector<std::filesystem::path> find_checkpoints(RunConfig& config, int world);

// Collective: the first of run.checkpoints whose files, and whose base model and data, are what its
// manifest says, each rank having read its part of them; null when there are none to choose from.
// Error(kBadInput) when none of them is whole.
std::unique_ptr<CheckpointReader> choose_checkpoint(const ResolvedRun& run, const RunData& data,
                                                    Communicator& communicator, Stream& stream);

// By what the micro-batches of a run are known again.
std::string data_digest(const BatchSource& data);
// Of the base model: what decides the frozen weights, and config.json. Reads all of them.
std::vector<FileRecord> base_model_files(const ResolvedRun& run);

}  // namespace athanor
