// Which build of the program this process runs.
#pragma once

#include <string>

namespace athanor {

// Version and the linker's build id: programs that differ in one instruction differ here.
std::string program_build();

}  // namespace athanor
