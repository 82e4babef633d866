// SIMD micro-kernels, compiled once per instruction set and chosen at run time, and the thread pool's core.
#pragma once
#include "vb_direct.h"
#include "vb_elementwise.h"
#include "vb_fourier.h"
#include "vb_gemm.h"
#include "vb_isa.h"
#include "vb_lines.h"
#include "vb_memory.h"
#include "vb_optimizer.h"
#include "vb_pool.h"
#include "vb_pooling.h"
#include "vb_spectral.h"
#include "vb_transform.h"
