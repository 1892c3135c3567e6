// ATHANOR_HOST_DEVICE marks functions that kernels of a GPU call, too: one rule, the same bits.
// (constexpr functions need no mark.)
#pragma once

#ifdef __CUDACC__
#define ATHANOR_HOST_DEVICE __host__ __device__
#else
#define ATHANOR_HOST_DEVICE
#endif
