#include "kernels.h"
#define VB_ISA base
#include "optimizer.inc.h"
