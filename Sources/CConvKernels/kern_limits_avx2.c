#include "kernels.h"
#if defined(__x86_64__)
#pragma clang attribute push(VB_TARGET_AVX2, apply_to = function)
#define VB_ISA avx2
#define VB_BYTES 32
#define VB_CHAINS 12
#include "limits.inc.h"
#pragma clang attribute pop
#endif
