#include "kernels.h"
#define VB_ISA base
#define VB_BYTES 16
#define VB_T float
#define VB_S f32
#include "lines.inc.h"
#define VB_T double
#define VB_S f64
#include "lines.inc.h"
