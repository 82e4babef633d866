#include "kernels.h"
#include "vb_memory.h"
#if defined(__x86_64__)
#pragma clang attribute push(VB_TARGET_AVX2, apply_to = function)
#define VB_ISA avx2
#define VB_BYTES 32
#define VB_MR 6
#define VB_NV 2
#define VB_T float
#define VB_S f32
#include "gemm.inc.h"
#define VB_T double
#define VB_S f64
#include "gemm.inc.h"
#pragma clang attribute pop
#endif
