#include "kernels.h"
#define VB_ISA base
#define VB_BYTES 16
#include "fourier.inc.h"
