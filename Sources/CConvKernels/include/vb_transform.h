// Products of small constant matrices with blocks whose innermost axis is a run of channels: Winograd's transforms.
#pragma once
#include <stddef.h>
#include <stdint.h>
#include "vb_isa.h"

enum { VB_TRANSFORM_MAX = 16 };  ///< largest number of rows or columns of a coefficient matrix

/// Structure of a coefficient matrix. Toom-Cook matrices of the points 0, +-a, +-b, ..., inf have rows (or columns) in pairs.
typedef enum vb_transform_form {
  VB_TRANSFORM_PLAIN = 0,  ///< none that is known
  VB_TRANSFORM_DATA,       ///< Bt [n][n]: rows of +-a are o + e and o - e, with e over even and o over odd columns
  VB_TRANSFORM_MONIC,      ///< as DATA, with e = +-x[n-2] + ... and o = a * (+-x[n-3] + ...)
  VB_TRANSFORM_FILTER,     ///< G [n][r]: the same over the powers of a
  VB_TRANSFORM_OUTPUT,     ///< At [m][n]: even rows take sums of the columns of +-a, odd rows their differences
} vb_transform_form;

/// A coefficient matrix as a list of its non-zero elements, row by row.
typedef struct vb_transform {
  uint32_t rows, columns;
  uint16_t start[VB_TRANSFORM_MAX + 1];
  uint8_t column[VB_TRANSFORM_MAX * VB_TRANSFORM_MAX];
  float f32[VB_TRANSFORM_MAX * VB_TRANSFORM_MAX];
  double f64[VB_TRANSFORM_MAX * VB_TRANSFORM_MAX];
  vb_transform_form form;               ///< what the fast kernels may make use of
  float dense_f32[64];                  ///< all elements, row-major, where the form is not plain
  double dense_f64[64];
  float monic_f32[16];                  ///< per pair of rows of a monic form: coefficients of e, of o, and a
  double monic_f64[16];
} vb_transform;

/// Compiles a row-major matrix. Returns 0, or -1 when rows or columns are 0 or above VB_TRANSFORM_MAX.
int vb_transform_init(vb_transform *transform, size_t rows, size_t columns, const double *coefficients);

/// Where a two-dimensional transform reads and writes; strides in elements.
typedef struct vb_transform_layout {
  size_t n;                             ///< channels, contiguous on both sides
  ptrdiff_t in_row, in_column;          ///< strides of the input tile
  ptrdiff_t out_row, out_column;        ///< strides of the output tile (planes: out_row = rows of R * out_column)
  uint32_t row0, row1, column0, column1;  ///< rows and columns of the input tile that exist; others count as 0.
                                          ///< The input pointer names (row0, column0).
  uint32_t out_rows, out_columns;       ///< outputs wanted: the first rows and columns of the result
  uint32_t prefetch_columns;            ///< columns after column1 that the next tile will read
  int accumulate;                       ///< add to what is in the output
  int relu;                             ///< clamp below at 0, after bias (NaN stays NaN)
} vb_transform_layout;

/// out[i, c] (+)= sum_j M[i, j] * in[j, c]: one axis. in[j * in_stride + c], out[i * out_stride + c], c < n.
void vb_transform_1d_f32(const vb_kernels *kernels, const vb_transform *m, size_t n, const float *in,
                         ptrdiff_t in_stride, float *out, ptrdiff_t out_stride);
void vb_transform_1d_f64(const vb_kernels *kernels, const vb_transform *m, size_t n, const double *in,
                         ptrdiff_t in_stride, double *out, ptrdiff_t out_stride);

/// out (+)= left * in * rightᵀ (+ bias[c]) for a tile [left.columns][right.columns][n]; bias may be NULL.
void vb_transform_2d_f32(const vb_kernels *kernels, const vb_transform *left, const vb_transform *right,
                         const vb_transform_layout *layout, const float *in, float *out, const float *bias);
void vb_transform_2d_f64(const vb_kernels *kernels, const vb_transform *left, const vb_transform *right,
                         const vb_transform_layout *layout, const double *in, double *out, const double *bias);
