// What one core can do at best: multiply-adds that stay in registers, and plain passes over arrays.
//
// `kernels` = NULL: the current instruction set.
#pragma once
#include <stddef.h>
#include <stdint.h>
#include "vb_isa.h"

/// Factor and summand of the chains: x = x * factor + summand goes to 1 from wherever it starts, so that no
/// number of steps makes a value infinite or denormal.
#define VB_CHAIN_SUMMAND 0x1p-10f
#define VB_CHAIN_FACTOR (1 - VB_CHAIN_SUMMAND)

/// Independent chains x = x * factor + summand in registers, one step of each per iteration. Value k starts
/// at seed + k, for k < vb_fma_chains_flops / 2. Returns the sum of all values at the end.
float vb_fma_chains_f32(const vb_kernels *kernels, size_t iterations, float seed);

/// FLOPs of one iteration of the chains: 2 for each value, whether multiplication and addition are fused
/// (AVX-512, AVX2, NEON) or not (SSE2).
size_t vb_fma_chains_flops(const vb_kernels *kernels);

/// Reads x[0 ..< n] `passes` times. Returns the sum of all that was read, modulo 2^32: additions of integers
/// are fast enough everywhere not to be the limit.
uint32_t vb_read_u32(const vb_kernels *kernels, size_t passes, size_t n, const uint32_t *x);

/// Writes `value` to y[0 ..< n], `passes` times, through the caches.
void vb_write_u32(const vb_kernels *kernels, size_t passes, size_t n, uint32_t value, uint32_t *y);

/// a[i] = b[i] + s * c[i] for i < n, `passes` times: STREAM's triad. The arrays do not overlap.
void vb_triad_f32(const vb_kernels *kernels, size_t passes, size_t n, float s, const float *b, const float *c,
                  float *a);
