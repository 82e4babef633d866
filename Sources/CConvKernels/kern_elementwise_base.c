#include "kernels.h"
#define VB_ISA base
#include "elementwise.inc.h"
