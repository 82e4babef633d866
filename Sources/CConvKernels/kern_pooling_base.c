#include "kernels.h"
#define VB_ISA base
#include "pooling.inc.h"
