#include "kernels.h"
#if defined(__x86_64__)
#pragma clang attribute push(VB_TARGET_AVX512, apply_to = function)
#define VB_ISA avx512
#define VB_BYTES 64
#define VB_MR 6
#define VB_NV 4
#define VB_T float
#define VB_S f32
#define VB_FULL 16
#define VB_HALF 8
#include "implicit.inc.h"
#include "depthwise.inc.h"
#define VB_T double
#define VB_S f64
#define VB_FULL 8
#define VB_HALF 4
#include "implicit.inc.h"
#include "depthwise.inc.h"
#pragma clang attribute pop
#endif
