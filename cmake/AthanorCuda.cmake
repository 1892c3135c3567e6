# The GPU backend. ATHANOR_CUDA=ON compiles .cu files with nvcc and links the CUDA runtime; FAKE
# compiles the same files as C++ against tests/fake_cuda, with the toolkit's real headers.
#
# ATHANOR_CUDA_ARCHITECTURES: what to compile for; 80, 86, 89, 90, 100, 120 and 121 are known to work.
set(ATHANOR_CUDA_ARCHITECTURES "90;121" CACHE STRING "Compute capabilities to build for")
find_path(ATHANOR_CUDA_INCLUDE cuda_runtime.h REQUIRED
  HINTS ENV CUDA_HOME PATHS /usr/local/cuda PATH_SUFFIXES include)

add_library(athanor_cuda_runtime INTERFACE)
target_include_directories(athanor_cuda_runtime SYSTEM INTERFACE ${ATHANOR_CUDA_INCLUDE})
if(ATHANOR_CUDA STREQUAL "FAKE")
  add_subdirectory(tests/fake_cuda/runtime)
  target_link_libraries(athanor_cuda_runtime INTERFACE fake_cuda)
else()
  if(NOT CMAKE_CUDA_COMPILER)
    find_program(CMAKE_CUDA_COMPILER nvcc HINTS ENV CUDA_HOME PATHS /usr/local/cuda PATH_SUFFIXES bin)
  endif()
  set(CMAKE_CUDA_ARCHITECTURES ${ATHANOR_CUDA_ARCHITECTURES})
  enable_language(CUDA)
  if(NOT CMAKE_CUDA20_STANDARD_COMPILE_OPTION)  # CMake 3.25 knows nvcc up to C++17
    set(CMAKE_CUDA20_STANDARD_COMPILE_OPTION -std=c++20)
  endif()
  find_package(CUDAToolkit REQUIRED)
  target_link_libraries(athanor_cuda_runtime INTERFACE CUDA::cudart)
endif()

# athanor_cuda_sources(TARGET files...): device code, which includes kernels/cuda/launch.cuh. No
# contraction, correctly rounded division and square root: the bits of the CPU's state arithmetic.
function(athanor_cuda_sources target)
  list(TRANSFORM ARGN PREPEND ${CMAKE_CURRENT_SOURCE_DIR}/)
  target_sources(${target} PRIVATE ${ARGN})
  if(ATHANOR_CUDA STREQUAL "FAKE")
    set_source_files_properties(${ARGN} TARGET_DIRECTORY ${target} PROPERTIES
      LANGUAGE CXX COMPILE_OPTIONS "-xc++;-Wno-unknown-pragmas")
    target_include_directories(${target} PRIVATE ${PROJECT_SOURCE_DIR}/tests/fake_cuda/port)
  else()
    set_source_files_properties(${ARGN} TARGET_DIRECTORY ${target} PROPERTIES COMPILE_OPTIONS
      "-fmad=false;-prec-div=true;-prec-sqrt=true;--expt-relaxed-constexpr;--extended-lambda;-lineinfo;-Xcompiler=-Wall;-Xcompiler=-ffp-contract=off;-Xptxas=-warn-spills;-Werror=all-warnings")
    target_include_directories(${target} PRIVATE ${PROJECT_SOURCE_DIR}/kernels/cuda/nvcc)
  endif()
  target_link_libraries(${target} PRIVATE athanor_cuda_runtime)
endfunction()

# athanor_gpu_test(TARGET): runs the program with its operations on the GPU, as the ctest test
# gpu.TARGET with the label gpu. The target gpu_tests builds what that label runs.
add_custom_target(gpu_tests)
function(athanor_gpu_test target)
  add_dependencies(gpu_tests ${target})
  add_test(NAME gpu.${target} COMMAND ${target} --gtest_brief=1)
  set_tests_properties(gpu.${target} PROPERTIES LABELS gpu TIMEOUT ${ATHANOR_TEST_TIMEOUT}
    ENVIRONMENT ATHANOR_TEST_DEVICE=cuda)
endfunction()
