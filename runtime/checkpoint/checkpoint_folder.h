// The checkpoints of an output folder: OUTPUT/checkpoint-STEP. A folder gets that name in one
// rename when all of it is on disk, and loses it in one when it is removed, so what has the name is
// whole. What a crash leaves has a name that begins with a dot.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <vector>

namespace athanor {

struct FoundCheckpoint {
  std::filesystem::path folder;
  int64_t step = 0;
};

// Newest first.
std::vector<FoundCheckpoint> list_checkpoints(const std::filesystem::path& output);

std::filesystem::path checkpoint_path(const std::filesystem::path& output, int64_t step);
// Where its files are written.
std::filesystem::path staging_path(const std::filesystem::path& output, int64_t step);

// Makes the staged folder the checkpoint of that step, in place of one that is there.
void publish_checkpoint(const std::filesystem::path& output, int64_t step);
// Removes all but `keep`: the newest ones, among them `best`, the step of one that stays however
// old it is; the newest one stays in any case. Returns what went. With `dry` it removes nothing.
std::vector<std::filesystem::path> prune_checkpoints(const std::filesystem::path& output,
                                                     int64_t keep, bool dry = false,
                                                     std::optional<int64_t> best = {});
// Removes every checkpoint: a run that begins anew in their folder would mix with them.
void remove_all_checkpoints(const std::filesystem::path& output);
// Renames those newer than `step` to NAME.abandoned: a run that goes on from `step` leaves their
// branch, or they are damaged. Returns the new names.
std::vector<std::filesystem::path> set_newer_aside(const std::filesystem::path& output,
                                                   int64_t step);
// What crashes have left; no run is using the folder.
void remove_leftovers(const std::filesystem::path& output);

}  // namespace athanor
