#include "kernels.h"
#if defined(__x86_64__)
#pragma clang attribute push(VB_TARGET_AVX512, apply_to = function)
#define VB_ISA avx512
#define VB_BYTES 64
#define VB_CHAINS 16
#include "limits.inc.h"
#pragma clang attribute pop
#endif
