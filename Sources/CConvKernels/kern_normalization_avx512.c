#include "kernels.h"
#if defined(__x86_64__)
#pragma clang attribute push(VB_TARGET_AVX512, apply_to = function)
#define VB_ISA avx512
#include "normalization.inc.h"
#pragma clang attribute pop
#endif
