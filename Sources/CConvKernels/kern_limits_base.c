#include "kernels.h"
// Without fused operations a step takes the latency of two.
#define VB_ISA base
#define VB_BYTES 16
#define VB_CHAINS 14
#include "limits.inc.h"
