#include "kernels.h"
#define VB_ISA base
#define VB_BYTES 16
#define VB_MR 4
#define VB_NV 1
#define VB_FEW 2
#include "spectral.inc.h"
