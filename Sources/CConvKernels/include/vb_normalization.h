// Batch normalisation: statistics, forward and backward passes over [rows][channels], the pixels of NHWC. With channels 1
// the rows are one plane of NCHW, and the pointers to values per channel point to that channel's.
#pragma once
#include <stddef.h>
#include "vb_isa.h"

/// mean[c] = the mean of x[..][c], squares[c] = the sum over r of (x[r][c] - mean[c])^2.
///
/// In blocks of at most 128 rows (4096 of one channel), each in two passes, so that no digits are lost where the mean is
/// large; blocks are joined in double (T. F. Chan, G. H. Golub, R. J. LeVeque, *Updating formulae and a pairwise algorithm for
/// computing sample variances*, 1979).
void vb_moments_f32(const vb_kernels *kernels, size_t rows, size_t channels, const float *x, double *mean,
                    double *squares);

/// y[r][c] = (x[r][c] - mean[c]) * factor[c] + shift[c] + other[r][c]; with `relu` at least 0, NaN stays NaN.
/// `other` may be NULL. y is no other array.
void vb_normalize_f32(const vb_kernels *kernels, size_t rows, size_t channels, const float *x, const float *mean,
                      const float *factor, const float *shift, const float *other, int relu, float *y);

/// sum[c] = the sum over r of g[r][c], product[c] = that of g[r][c] * (x[r][c] - mean[c]), with g = dy, or 0 where
/// y <= 0 if y is not NULL; blocks of at most 128 rows (4096 of one channel) are joined in double.
/// g is also written to `masked` unless that is NULL (it is used with a y only).
void vb_normalize_sums_f32(const vb_kernels *kernels, size_t rows, size_t channels, const float *dy, const float *y,
                           const float *x, const float *mean, double *sum, double *product, float *masked);

/// dx[r][c] = factor[c] * (g[r][c] - offset[c] - (x[r][c] - mean[c]) * slope[c]), with g as above.
void vb_normalize_backward_f32(const vb_kernels *kernels, size_t rows, size_t channels, const float *dy, const float *y,
                               const float *x, const float *mean, const float *factor, const float *offset,
                               const float *slope, float *dx);
