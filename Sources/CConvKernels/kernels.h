// The tables behind `vb_kernels`: one function per kernel, filled in by each instruction set's sources.
#pragma once
#include "vb_direct.h"
#include "vb_elementwise.h"
#include "vb_fourier.h"
#include "vb_gemm.h"
#include "vb_isa.h"
#include "vb_limits.h"
#include "vb_lines.h"
#include "vb_normalization.h"
#include "vb_optimizer.h"
#include "vb_pooling.h"
#include "vb_spectral.h"
#include "vb_transform.h"

#define VB_GEMM_TABLE(T)                                                                                        \
  size_t panel;                                                                                                 \
  void (*pack_b)(size_t k, size_t n, const T *b, size_t ldb, int transpose_b, T *packed);                       \
  int (*gemm_packed)(size_t m, size_t n, size_t k, const T *a, size_t lda, int transpose_a, const T *packed,    \
                     T *c, size_t ldc, int accumulate);                                                         \
  int (*gemm)(size_t m, size_t n, size_t k, const T *a, size_t lda, int transpose_a, const T *b, size_t ldb,    \
              int transpose_b, T *c, size_t ldc, int accumulate);                                               \
  void (*transpose)(size_t rows, size_t columns, const T *source, size_t lds, T *target, size_t ldt);

typedef struct vb_gemm_table_f32 {
  VB_GEMM_TABLE(float)
} vb_gemm_table_f32;

typedef struct vb_gemm_table_f64 {
  VB_GEMM_TABLE(double)
} vb_gemm_table_f64;

typedef struct vb_transform_table {
  void (*one_f32)(const vb_transform *m, size_t n, const float *in, ptrdiff_t in_stride, float *out,
                  ptrdiff_t out_stride);
  void (*one_f64)(const vb_transform *m, size_t n, const double *in, ptrdiff_t in_stride, double *out,
                  ptrdiff_t out_stride);
  void (*two_f32)(const vb_transform *left, const vb_transform *right, const vb_transform_layout *layout,
                  const float *in, float *out, const float *bias);
  void (*two_f64)(const vb_transform *left, const vb_transform *right, const vb_transform_layout *layout,
                  const double *in, double *out, const double *bias);
} vb_transform_table;

typedef struct vb_elementwise_table {
  void (*axpy)(size_t n, float a, const float *x, float *y);
  void (*relu)(size_t n, const float *x, float *y);
  void (*relu_backward)(size_t n, const float *y, const float *dy, float *dx);
  void (*bias_nchw)(size_t channels, size_t area, const float *bias, float *y);
  void (*bias_nhwc)(size_t pixels, size_t channels, const float *bias, float *y);
  void (*sum_nchw)(size_t channels, size_t area, const float *y, float *sum);
  void (*sum_nhwc)(size_t pixels, size_t channels, const float *y, float *sum);
} vb_elementwise_table;

#define VB_LINES_TABLE(T)                                                                                       \
  void (*gather)(size_t lines, size_t before, size_t length, size_t after, const T *from, size_t from_stride,   \
                 size_t step, T *to);                                                                           \
  void (*scatter)(size_t lines, size_t length, const T *from, size_t from_stride, T *to, size_t to_stride,      \
                  size_t step);

typedef struct vb_lines_table_f32 {
  VB_LINES_TABLE(float)
} vb_lines_table_f32;

typedef struct vb_lines_table_f64 {
  VB_LINES_TABLE(double)
} vb_lines_table_f64;

typedef struct vb_pooling_table {
  void (*max_pairs)(size_t height, size_t width, size_t channels, const float *x, float *y, uint8_t *winner);
  void (*spread_pairs)(size_t height, size_t width, size_t channels, const float *dy, const float *y,
                       const uint8_t *winner, float *dx, float *sum);
} vb_pooling_table;

typedef struct vb_normalization_table {
  void (*moments)(size_t rows, size_t channels, const float *x, double *mean, double *squares);
  void (*normalize)(size_t rows, size_t channels, const float *x, const float *mean, const float *factor,
                    const float *shift, const float *other, int relu, float *y);
  void (*sums)(size_t rows, size_t channels, const float *dy, const float *y, const float *x, const float *mean,
               double *sum, double *product, float *masked);
  void (*backward)(size_t rows, size_t channels, const float *dy, const float *y, const float *x, const float *mean,
                   const float *factor, const float *offset, const float *slope, float *dx);
} vb_normalization_table;

typedef struct vb_optimizer_table {
  void (*adam)(size_t n, const vb_adam *factors, float *p, const float *g, float *m, float *v);
  void (*sgd)(size_t n, const vb_sgd *factors, int nesterov, float *p, const float *g, float *v);
} vb_optimizer_table;

#define VB_DIRECT_TABLE(T)                                                                                      \
  void (*implicit)(const vb_implicit *shape, const T *a, const T *b, const T *bias, T *c);                      \
  void (*depthwise)(const vb_depthwise *shape, const T *x, const T *w, const T *bias, T *y);                    \
  void (*depthwise_gradient)(const vb_depthwise *shape, const T *x, const T *dy, T *g);                         \
  void (*plane)(const vb_plane *shape, const T *x, const T *w, T start, T *y);                                  \
  void (*plane_gradient)(const vb_plane *shape, const T *x, const T *dy, T *g);

typedef struct vb_direct_table_f32 {
  VB_DIRECT_TABLE(float)
} vb_direct_table_f32;

typedef struct vb_direct_table_f64 {
  VB_DIRECT_TABLE(double)
} vb_direct_table_f64;
typedef struct vb_fourier_table {
  void (*forward)(const vb_fourier *fourier, size_t rows, size_t columns, const float *in, ptrdiff_t in_row, float *work,
                  float *out, ptrdiff_t out_bin);
  void (*inverse)(const vb_fourier *fourier, size_t rows, size_t columns, float scale, const float *in,
                  ptrdiff_t in_bin, float *work, float *out, ptrdiff_t out_row);
  void (*load)(size_t pixels, size_t lanes, const float *in, ptrdiff_t in_pixel, float *out);
  void (*store)(size_t pixels, size_t lanes, const float *in, float *out, ptrdiff_t out_pixel);
  void (*reverse)(size_t pixels, float *strip);
} vb_fourier_table;

typedef struct vb_spectral_table {
  void (*product)(size_t bins, size_t m, size_t blocks, size_t k, vb_spectral a, int transpose_a, vb_spectral b,
                  vb_spectral c, int accumulate);
} vb_spectral_table;

typedef struct vb_limits_table {
  size_t flops;
  float (*chains)(size_t iterations, float seed);
  uint32_t (*read)(size_t passes, size_t n, const uint32_t *x);
  void (*write)(size_t passes, size_t n, uint32_t value, uint32_t *y);
  void (*triad)(size_t passes, size_t n, float s, const float *b, const float *c, float *a);
} vb_limits_table;

struct vb_kernels {
  const char *name;
  size_t vector_bytes;
  const vb_gemm_table_f32 *gemm_f32;
  const vb_gemm_table_f64 *gemm_f64;
  const vb_transform_table *transform;
  const vb_elementwise_table *elementwise;
  const vb_lines_table_f32 *lines_f32;
  const vb_lines_table_f64 *lines_f64;
  const vb_pooling_table *pooling;
  const vb_normalization_table *normalization;
  const vb_optimizer_table *optimizer;
  const vb_direct_table_f32 *direct_f32;
  const vb_direct_table_f64 *direct_f64;
  const vb_fourier_table *fourier;
  const vb_spectral_table *spectral;
  const vb_limits_table *limits;
};

#define VB_JOIN_(a, b) a##b
#define VB_JOIN(a, b) VB_JOIN_(a, b)
#define VB_UNROLL _Pragma("clang loop unroll(full)")
// v = max(0, v) in each lane of a vector; NaN stays.
#define VB_RELU(v) v = (__typeof__(v))(~((v) < 0) & (__typeof__((v) < 0))(v))

#if defined(__x86_64__)
#define VB_TARGET_AVX512 __attribute__((target("avx512f,avx512vl,avx512bw,avx512dq,fma,avx2")))
#define VB_TARGET_AVX2 __attribute__((target("avx2,fma")))
extern const vb_gemm_table_f32 vb_gemm_f32_avx512, vb_gemm_f32_avx2;
extern const vb_gemm_table_f64 vb_gemm_f64_avx512, vb_gemm_f64_avx2;
extern const vb_transform_table vb_transform_avx512, vb_transform_avx2;
extern const vb_elementwise_table vb_elementwise_avx512, vb_elementwise_avx2;
extern const vb_lines_table_f32 vb_lines_f32_avx512, vb_lines_f32_avx2;
extern const vb_lines_table_f64 vb_lines_f64_avx512, vb_lines_f64_avx2;
extern const vb_pooling_table vb_pooling_avx512, vb_pooling_avx2;
extern const vb_normalization_table vb_normalization_avx512, vb_normalization_avx2;
extern const vb_optimizer_table vb_optimizer_avx512, vb_optimizer_avx2;
extern const vb_direct_table_f32 vb_direct_f32_avx512, vb_direct_f32_avx2;
extern const vb_direct_table_f64 vb_direct_f64_avx512, vb_direct_f64_avx2;
extern const vb_fourier_table vb_fourier_avx512, vb_fourier_avx2;
extern const vb_spectral_table vb_spectral_avx512, vb_spectral_avx2;
extern const vb_limits_table vb_limits_avx512, vb_limits_avx2;
#endif
extern const vb_gemm_table_f32 vb_gemm_f32_base;
extern const vb_gemm_table_f64 vb_gemm_f64_base;
extern const vb_transform_table vb_transform_base;
extern const vb_elementwise_table vb_elementwise_base;
extern const vb_lines_table_f32 vb_lines_f32_base;
extern const vb_lines_table_f64 vb_lines_f64_base;
extern const vb_pooling_table vb_pooling_base;
extern const vb_normalization_table vb_normalization_base;
extern const vb_optimizer_table vb_optimizer_base;
extern const vb_direct_table_f32 vb_direct_f32_base;
extern const vb_direct_table_f64 vb_direct_f64_base;
extern const vb_fourier_table vb_fourier_base;
extern const vb_spectral_table vb_spectral_base;
extern const vb_limits_table vb_limits_base;
