// Combinations of keys that contradict each other whatever the model is. Internal to
// runtime/config.
#pragma once

#include "runtime/config/config_problems.h"
#include "runtime/config/run_config.h"

namespace athanor::config_detail {

void check_conflicts(const RunConfig& config, Problems& problems);

}  // namespace athanor::config_detail
