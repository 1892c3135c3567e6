// The names that config.yaml has for what a plan decides and says.
#pragma once

#include "runtime/config/run_config.h"

namespace athanor {

const char* option_name(ScheduleOption option);
const char* option_name(CheckpointingOption option);

}  // namespace athanor
