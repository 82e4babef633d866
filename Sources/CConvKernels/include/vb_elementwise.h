// Passes over arrays that a training step needs between its convolutions.
#pragma once
#include <stddef.h>
#include "vb_isa.h"

/// y[i] += a * x[i]
void vb_axpy_f32(const vb_kernels *kernels, size_t n, float a, const float *x, float *y);

/// y[i] = max(x[i], 0); NaN stays NaN. x and y may be the same array.
void vb_relu_f32(const vb_kernels *kernels, size_t n, const float *x, float *y);

/// dx[i] = y[i] <= 0 ? 0 : dy[i], with y the output of the forward pass. dx may be dy.
void vb_relu_backward_f32(const vb_kernels *kernels, size_t n, const float *y, const float *dy, float *dx);

/// y[c][i] += bias[c] for c < channels, i < area: one image in NCHW.
void vb_bias_nchw_f32(const vb_kernels *kernels, size_t channels, size_t area, const float *bias, float *y);

/// y[i][c] += bias[c] for i < pixels, c < channels: NHWC.
void vb_bias_nhwc_f32(const vb_kernels *kernels, size_t pixels, size_t channels, const float *bias, float *y);

/// sum[c] += the sum over i of y[c][i]: one image in NCHW. 64 interleaved partial sums, in a fixed order.
void vb_sum_nchw_f32(const vb_kernels *kernels, size_t channels, size_t area, const float *y, float *sum);

/// sum[c] += the sum over i of y[i][c]: NHWC. In blocks of 256 pixels, in a fixed order.
void vb_sum_nhwc_f32(const vb_kernels *kernels, size_t pixels, size_t channels, const float *y, float *sum);
