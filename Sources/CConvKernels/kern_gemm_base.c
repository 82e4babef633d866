#include "kernels.h"
#include "vb_memory.h"

#define VB_ISA base
#define VB_BYTES 16
#define VB_MR 4
#define VB_NV 2
#define VB_T float
#define VB_S f32
#include "gemm.inc.h"
#define VB_T double
#define VB_S f64
#include "gemm.inc.h"
