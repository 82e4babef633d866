#include "kernels.h"
#define VB_ISA base
#define VB_BYTES 16
#define VB_MR 4
#define VB_NV 2
#define VB_T float
#define VB_S f32
#define VB_FULL 4
#define VB_HALF 2
#include "implicit.inc.h"
#include "depthwise.inc.h"
#define VB_T double
#define VB_S f64
#define VB_FULL 2
#define VB_HALF 1
#include "implicit.inc.h"
#include "depthwise.inc.h"
