# athanor_build_quickly(NAME): for tests whose own code does little work, such as those that start
# programs. They are not optimised (a third of the compiler's time, half with sanitizers) and take
# GoogleTest, JSON and the standard headers precompiled. A file includes what it uses all the same:
# it compiles without the precompiled headers where a compiler cache is set, which keeps whole
# results and needs permission to trust such headers.
set(default ON)
if(CMAKE_CXX_COMPILER_LAUNCHER)
  set(default OFF)
endif()
option(ATHANOR_PRECOMPILE "Precompile the headers of the tests" ${default})

if(ATHANOR_PRECOMPILE)  # a library that only carries them
  file(CONFIGURE OUTPUT test_headers.cpp CONTENT "// see cmake/AthanorQuickBuild.cmake\n")
  add_library(athanor_test_headers OBJECT ${CMAKE_CURRENT_BINARY_DIR}/test_headers.cpp)
  target_link_libraries(athanor_test_headers PRIVATE
    athanor_flags nlohmann_json::nlohmann_json GTest::gtest)
  target_compile_options(athanor_test_headers PRIVATE -O0)
  target_precompile_headers(athanor_test_headers PRIVATE
    <algorithm> <chrono> <cstdint> <filesystem> <fstream> <functional> <map> <memory> <mutex>
    <optional> <set> <span> <sstream> <string> <thread> <utility> <vector>
    <nlohmann/json.hpp> <gtest/gtest.h>)
endif()

function(athanor_build_quickly name)
  target_compile_options(${name} PRIVATE -O0)
  if(ATHANOR_PRECOMPILE)
    target_precompile_headers(${name} REUSE_FROM athanor_test_headers)
  endif()
endfunction()
