// Max pooling of 2 x 2 windows with stride 2: what most networks use.
#pragma once
#include <stddef.h>
#include <stdint.h>
#include "vb_isa.h"

/// y[p][q][c] = the largest of x[2p..2p+1][2q..2q+1][c], `winner` its place 2 * row + column in the window; ties take the
/// first, NaN wins. One image: x is [height][width][channels]; an odd last row or column takes no part.
void vb_max_pairs_f32(const vb_kernels *kernels, size_t height, size_t width, size_t channels, const float *x, float *y,
                      uint8_t *winner);

/// dx = dy at the winners, 0 elsewhere; all of dx [height][width][channels] is written. With y (or NULL), the pooled values
/// after ReLU: dy counts as 0 where y <= 0. sum[channels] grows by what reaches dx.
void vb_spread_pairs_f32(const vb_kernels *kernels, size_t height, size_t width, size_t channels, const float *dy,
                         const float *y, const uint8_t *winner, float *dx, float *sum);
