// Matrix products, row-major: C[m x n] (+)= op(A)[m x k] * op(B)[k x n].
//
// The sum over k of one element is taken in blocks whose limits depend on k only, each block in order with one
// accumulator. Results therefore depend on neither m, n, the caller's split of rows and columns, nor threads.
// With transpose_a, A is stored [k x m] with leading dimension lda; with transpose_b, B is stored [n x k].
// `kernels` = NULL: the current instruction set. C must not overlap A or B.
#pragma once
#include <stddef.h>
#include "vb_isa.h"

/// Columns of one panel of packed B.
size_t vb_gemm_panel_f32(const vb_kernels *kernels);
size_t vb_gemm_panel_f64(const vb_kernels *kernels);

/// Elements of B [k x n] packed into panels; 0 when k or n is 0, SIZE_MAX when the count overflows.
size_t vb_pack_b_count_f32(const vb_kernels *kernels, size_t k, size_t n);
size_t vb_pack_b_count_f64(const vb_kernels *kernels, size_t k, size_t n);

/// Packs B into panels of vb_gemm_panel columns: panel j is [k][panel], contiguous, the last one padded with zeros.
/// Panel j begins at packed + j * k * panel.
void vb_pack_b_f32(const vb_kernels *kernels, size_t k, size_t n, const float *b, size_t ldb, int transpose_b,
                   float *packed);
void vb_pack_b_f64(const vb_kernels *kernels, size_t k, size_t n, const double *b, size_t ldb, int transpose_b,
                   double *packed);

/// C (+)= op(A) * B with B packed by vb_pack_b of the same kernels. Returns 0, or -1 when there is no scratch memory
/// (about half a megabyte per thread, kept).
int vb_gemm_packed_f32(const vb_kernels *kernels, size_t m, size_t n, size_t k, const float *a, size_t lda,
                       int transpose_a, const float *packed, float *c, size_t ldc, int accumulate);
int vb_gemm_packed_f64(const vb_kernels *kernels, size_t m, size_t n, size_t k, const double *a, size_t lda,
                       int transpose_a, const double *packed, double *c, size_t ldc, int accumulate);

/// C (+)= op(A) * op(B). Returns 0, or -1 when there is no scratch memory (about two megabytes per thread, kept).
int vb_gemm_f32(const vb_kernels *kernels, size_t m, size_t n, size_t k, const float *a, size_t lda,
                int transpose_a, const float *b, size_t ldb, int transpose_b, float *c, size_t ldc, int accumulate);
int vb_gemm_f64(const vb_kernels *kernels, size_t m, size_t n, size_t k, const double *a, size_t lda,
                int transpose_a, const double *b, size_t ldb, int transpose_b, double *c, size_t ldc,
                int accumulate);

/// Transposes a matrix: target[j * ldt + i] = source[i * lds + j] for i < rows, j < columns.
void vb_transpose_f32(const vb_kernels *kernels, size_t rows, size_t columns, const float *source, size_t lds,
                      float *target, size_t ldt);
void vb_transpose_f64(const vb_kernels *kernels, size_t rows, size_t columns, const double *source, size_t lds,
                      double *target, size_t ldt);
