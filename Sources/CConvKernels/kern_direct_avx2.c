#include "kernels.h"
#if defined(__x86_64__)
#pragma clang attribute push(VB_TARGET_AVX2, apply_to = function)
#define VB_ISA avx2
#define VB_BYTES 32
#define VB_MR 6
#define VB_NV 2
#define VB_T float
#define VB_S f32
#define VB_FULL 8
#define VB_HALF 4
#include "implicit.inc.h"
#include "depthwise.inc.h"
#define VB_T double
#define VB_S f64
#define VB_FULL 4
#define VB_HALF 2
#include "implicit.inc.h"
#include "depthwise.inc.h"
#pragma clang attribute pop
#endif
