#include "kernels.h"
#define VB_ISA base
#define VB_BYTES 16
#define VB_T float
#define VB_S f32
#include "transform.inc.h"
#define VB_T double
#define VB_S f64
#include "transform.inc.h"
const vb_transform_table vb_transform_base = {one_f32_base, one_f64_base, two_f32_base, two_f64_base};
