// What a run may change of its settings when it goes on from a checkpoint, and what it takes from
// there. docs/checkpoints.md has the table for readers.
#pragma once

#include <string>
#include <vector>

#include "runtime/checkpoint/manifest.h"
#include "runtime/config/run_config.h"

namespace athanor {

enum class ChangeRule {
  kAllowed,    // placement, files and logs; data and files are judged by their content
  kNeedsFlag,  // changes the numbers: resume_with_changes
  kRefused,    // the saved state has no meaning there
};
ChangeRule change_rule(const std::string& key);

// The date that the run's templates see; empty when they do not ask.
std::string saved_template_date(const Manifest& manifest);

struct SettingChange {
  std::string key;
  std::string saved;
  std::string now;
};
// Settings with another value, absent ones with their default.
std::vector<SettingChange> changed_settings(const Manifest& manifest, const RunConfig& now);

// Error(kConfig) with a line for each change that is refused, or needs the flag and lacks it.
// Returns lines to log: the changes that the flag let through.
std::vector<std::string> check_settings(const Manifest& manifest, const RunConfig& now);

// Lanes and rows of a step are kept where the config does not name them. More ranks than lanes need
// more lanes, which orders sums anew: then a line to log comes back.
std::string adopt_numerics(RunConfig& config, const Manifest& manifest, int world);
// Error(kConfig) when the steps of the config are of another size: the data would not go on where
// it stopped.
void check_step_size(const RunConfig& config, const Manifest& manifest, int world);

}  // namespace athanor
