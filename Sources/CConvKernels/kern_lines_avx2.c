#include "kernels.h"
#if defined(__x86_64__)
#pragma clang attribute push(VB_TARGET_AVX2, apply_to = function)
#define VB_ISA avx2
#define VB_BYTES 32
#define VB_T float
#define VB_S f32
#include "lines.inc.h"
#define VB_T double
#define VB_S f64
#include "lines.inc.h"
#pragma clang attribute pop
#endif
