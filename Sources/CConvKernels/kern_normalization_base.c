#include "kernels.h"
#define VB_ISA base
#include "normalization.inc.h"
