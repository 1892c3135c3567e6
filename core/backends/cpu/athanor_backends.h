// Which backends are built; CMake chooses the folder of this header.
#pragma once

namespace athanor {
inline constexpr bool kWithCuda = false;
}
