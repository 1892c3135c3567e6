// Which vector instructions the kernels may use. Detected once, capped by the launcher (or a test),
// and read at each product. Results in float32 are the same bits at every level.
#pragma once

namespace athanor {

enum class CpuIsa { kGeneric, kAvx2, kAvx512, kAvx512Bf16 };

const char* cpu_isa_name(CpuIsa isa);

// The widest level this machine runs.
CpuIsa detect_cpu_isa();

// Caps the level for the whole process. Call it before the first product of a run, never between:
// where bfloat16 is native its products round differently from where it is widened.
void limit_cpu_isa(CpuIsa widest);

// The smaller of what the machine has and the cap.
CpuIsa active_cpu_isa();

}  // namespace athanor
