# Flags that every own target shares, and the two functions that make targets.
#
# x86-64-v3 (AVX2 + FMA) is the lowest x86 the program runs on; wider instruction sets are chosen
# at run time inside kernels/. Contraction is off: fma is written where it is meant.
add_library(athanor_flags INTERFACE)
target_compile_options(athanor_flags INTERFACE
  "$<$<COMPILE_LANGUAGE:C,CXX>:-Wall;-Wextra;-Wpedantic;-Wconversion;-Werror;-ffp-contract=off>")
target_include_directories(athanor_flags INTERFACE ${PROJECT_SOURCE_DIR})
if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
  set(ATHANOR_X86 ON)
  target_compile_options(athanor_flags INTERFACE $<$<COMPILE_LANGUAGE:C,CXX>:-march=x86-64-v3>)
endif()
if(ATHANOR_FUZZ)
  # Clang has other warnings; those of the project are GCC's.
  target_compile_options(athanor_flags INTERFACE -Wno-error -Wno-unknown-warning-option)
endif()
if(ATHANOR_SANITIZE)
  # GCC takes instrumented code for reads of uninitialised memory, inside std::regex for one.
  target_compile_options(athanor_flags INTERFACE
    -fsanitize=${ATHANOR_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer
    -Wno-maybe-uninitialized)
  if(ATHANOR_SANITIZE MATCHES "undefined" AND NOT ATHANOR_FUZZ)
    # Undefined behaviour is looked for in what is tested: a third of the compiler's time.
    target_compile_options(athanor_flags INTERFACE
      $<$<BOOL:$<TARGET_PROPERTY:ATHANOR_TESTS_OTHERS>>:-fno-sanitize=undefined>)
  endif()
  target_link_options(athanor_flags INTERFACE -fsanitize=${ATHANOR_SANITIZE})
endif()

# athanor_library(NAME sources... [LINK targets...]): a static library with the project's flags.
function(athanor_library name)
  cmake_parse_arguments(ARG "" "" "LINK" ${ARGN})
  add_library(${name} STATIC ${ARG_UNPARSED_ARGUMENTS})
  target_link_libraries(${name} PUBLIC athanor_flags ${ARG_LINK})
endfunction()

# athanor_test(NAME sources... [LINK targets...]): a GoogleTest program, each case one ctest test.
function(athanor_test name)
  cmake_parse_arguments(ARG "" "" "LINK" ${ARGN})
  add_executable(${name} ${ARG_UNPARSED_ARGUMENTS})
  target_link_libraries(${name} PRIVATE athanor_flags GTest::gtest_main ${ARG_LINK})
  set_target_properties(${name} PROPERTIES ATHANOR_TESTS_OTHERS ON)
  gtest_discover_tests(${name} DISCOVERY_MODE PRE_TEST DISCOVERY_TIMEOUT 60
    NO_PRETTY_VALUES PROPERTIES TIMEOUT ${ATHANOR_TEST_TIMEOUT})
endfunction()
