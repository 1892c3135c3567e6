// Parses the command line and runs its verb.
#pragma once

#include <atomic>

namespace athanor {

// Returns the verb's exit code. What is wrong with the command line is Error(kUsage).
int run_command_line(int argc, char** argv, std::atomic<int>& stop);

}  // namespace athanor
