// Direct convolution without column copies: sums of products over windows that are read where they lie.
//
// Every result is one chain of additions in the order of the offsets (and of the terms of a segment), whatever tile or
// tail it belongs to. Offsets are in elements. `kernels` = NULL: the current instruction set.
#pragma once
#include <stddef.h>
#include "vb_isa.h"

/// One strip of an implicit matrix product: `rows` windows against one panel of packed weights.
typedef struct vb_implicit {
  size_t rows;               ///< windows of the strip
  size_t width;              ///< columns of the panel in use, at most vb_gemm_panel of the same kernels
  size_t segments;           ///< runs of terms in each window
  size_t length;             ///< terms of each run
  const ptrdiff_t *offsets;  ///< where each run begins
  ptrdiff_t row_step;        ///< from a window to the next
  ptrdiff_t term_step;       ///< from a term to the next
  ptrdiff_t result_step;     ///< from a row of results to the next
  int accumulate;            ///< add to the results instead of overwriting them
  int relu;                  ///< max(0, .) of the results; NaN stays
  size_t parts;              ///< equal parts of each run, where a part's terms belong to some columns only; 0: all to all
  const ptrdiff_t *owners;   ///< first column and end of each part; b is 0 in the other ones
} vb_implicit;

/// c[i * result_step + j] = sum over segments g and terms p of
/// a[offsets[g] + i * row_step + p * term_step] * b[(g * length + p) * panel + j] (+ bias[j]).
/// `bias` is NULL or as wide as the panel; b is one panel of vb_pack_b.
/// With `parts`, terms that do not belong to a column do not reach it, whatever a holds: NaN and infinities neither.
void vb_implicit_f32(const vb_kernels *kernels, const vb_implicit *shape, const float *a, const float *b,
                     const float *bias, float *c);
void vb_implicit_f64(const vb_kernels *kernels, const vb_implicit *shape, const double *a, const double *b,
                     const double *bias, double *c);

/// Windows in which every channel has its own filter, channels last.
typedef struct vb_depthwise {
  size_t rows;               ///< rows of windows (gradient only)
  size_t columns;            ///< windows of a row
  size_t channels;           ///< channels, contiguous
  size_t taps;               ///< taps of each window
  const ptrdiff_t *offsets;  ///< where each tap reads x
  const ptrdiff_t *weights;  ///< where each tap's weights (or sums) lie
  ptrdiff_t x_row, x_step;   ///< from a row, a window to the next in x
  ptrdiff_t y_row, y_step;   ///< from a row, a window to the next in y
  int accumulate;            ///< add to y instead of overwriting it
  int relu;                  ///< max(0, .) of y; NaN stays
} vb_depthwise;

/// y[i * y_step + c] = sum over taps t of x[offsets[t] + i * x_step + c] * w[weights[t] + c] (+ bias[c]).
void vb_depthwise_f32(const vb_kernels *kernels, const vb_depthwise *shape, const float *x, const float *w,
                      const float *bias, float *y);
void vb_depthwise_f64(const vb_kernels *kernels, const vb_depthwise *shape, const double *x, const double *w,
                      const double *bias, double *y);

/// g[weights[t] + c] += sum over rows j and windows i of
/// x[offsets[t] + j * x_row + i * x_step + c] * dy[j * y_row + i * y_step + c].
void vb_depthwise_gradient_f32(const vb_kernels *kernels, const vb_depthwise *shape, const float *x, const float *dy,
                               float *g);
void vb_depthwise_gradient_f64(const vb_kernels *kernels, const vb_depthwise *shape, const double *x,
                               const double *dy, double *g);

/// Windows of one plane, neighbours contiguous in x. Up to one vector beyond the last window of a row is read, and
/// does not matter.
typedef struct vb_plane {
  size_t rows;               ///< rows of windows
  size_t columns;            ///< windows of a row
  size_t taps;               ///< taps of each window
  const ptrdiff_t *offsets;  ///< where each tap reads x
  ptrdiff_t x_row;           ///< from a row of windows to the next in x
  ptrdiff_t y_row, y_step;   ///< from a row, a window to the next in y
  int accumulate;            ///< add to y instead of overwriting it
  int relu;                  ///< max(0, .) of y; NaN stays
} vb_plane;

/// y[j * y_row + i * y_step] = start + sum over taps t of x[offsets[t] + j * x_row + i] * w[t].
void vb_plane_f32(const vb_kernels *kernels, const vb_plane *shape, const float *x, const float *w, float start,
                  float *y);
void vb_plane_f64(const vb_kernels *kernels, const vb_plane *shape, const double *x, const double *w, double start,
                  double *y);

/// g[t] += sum over rows j and windows i of x[offsets[t] + j * x_row + i] * dy[j * y_row + i].
void vb_plane_gradient_f32(const vb_kernels *kernels, const vb_plane *shape, const float *x, const float *dy,
                           float *g);
void vb_plane_gradient_f64(const vb_kernels *kernels, const vb_plane *shape, const double *x, const double *dy,
                           double *g);
