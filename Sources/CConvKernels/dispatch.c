// The public entry points: the given table's kernel, or the current table's.
#include "kernels.h"
#include <stdint.h>

static const vb_kernels *table(const vb_kernels *kernels) { return kernels ? kernels : vb_kernels_current(); }

static size_t pack_count(size_t panel, size_t k, size_t n) {
  size_t columns, count;
  if (__builtin_add_overflow(n, panel - 1, &columns)) return SIZE_MAX;
  columns = columns / panel * panel;
  return __builtin_mul_overflow(columns, k, &count) ? SIZE_MAX : count;
}

#define VB_GEMM_ENTRIES(T, S)                                                                                   \
  size_t vb_gemm_panel_##S(const vb_kernels *kernels) { return table(kernels)->gemm_##S->panel; }               \
  size_t vb_pack_b_count_##S(const vb_kernels *kernels, size_t k, size_t n) {                                   \
    return pack_count(table(kernels)->gemm_##S->panel, k, n);                                                   \
  }                                                                                                             \
  void vb_pack_b_##S(const vb_kernels *kernels, size_t k, size_t n, const T *b, size_t ldb, int transpose_b,    \
                     T *packed) {                                                                               \
    table(kernels)->gemm_##S->pack_b(k, n, b, ldb, transpose_b, packed);                                        \
  }                                                                                                             \
  int vb_gemm_packed_##S(const vb_kernels *kernels, size_t m, size_t n, size_t k, const T *a, size_t lda,       \
                         int transpose_a, const T *packed, T *c, size_t ldc, int accumulate) {                  \
    return table(kernels)->gemm_##S->gemm_packed(m, n, k, a, lda, transpose_a, packed, c, ldc, accumulate);     \
  }                                                                                                             \
  int vb_gemm_##S(const vb_kernels *kernels, size_t m, size_t n, size_t k, const T *a, size_t lda,              \
                  int transpose_a, const T *b, size_t ldb, int transpose_b, T *c, size_t ldc, int accumulate) { \
    return table(kernels)->gemm_##S->gemm(m, n, k, a, lda, transpose_a, b, ldb, transpose_b, c, ldc,            \
                                          accumulate);                                                          \
  }                                                                                                             \
  void vb_transpose_##S(const vb_kernels *kernels, size_t rows, size_t columns, const T *source, size_t lds,    \
                        T *target, size_t ldt) {                                                                \
    table(kernels)->gemm_##S->transpose(rows, columns, source, lds, target, ldt);                               \
  }                                                                                                             \
  void vb_transform_1d_##S(const vb_kernels *kernels, const vb_transform *m, size_t n, const T *in,             \
                           ptrdiff_t in_stride, T *out, ptrdiff_t out_stride) {                                 \
    table(kernels)->transform->one_##S(m, n, in, in_stride, out, out_stride);                                   \
  }                                                                                                             \
  void vb_transform_2d_##S(const vb_kernels *kernels, const vb_transform *left, const vb_transform *right,      \
                           const vb_transform_layout *layout, const T *in, T *out, const T *bias) {             \
    table(kernels)->transform->two_##S(left, right, layout, in, out, bias);                                     \
  }

#define VB_DIRECT_ENTRIES(T, S)                                                                                 \
  void vb_implicit_##S(const vb_kernels *kernels, const vb_implicit *shape, const T *a, const T *b,             \
                       const T *bias, T *c) {                                                                   \
    table(kernels)->direct_##S->implicit(shape, a, b, bias, c);                                                 \
  }                                                                                                             \
  void vb_depthwise_##S(const vb_kernels *kernels, const vb_depthwise *shape, const T *x, const T *w,           \
                        const T *bias, T *y) {                                                                  \
    table(kernels)->direct_##S->depthwise(shape, x, w, bias, y);                                                \
  }                                                                                                             \
  void vb_depthwise_gradient_##S(const vb_kernels *kernels, const vb_depthwise *shape, const T *x,              \
                                 const T *dy, T *g) {                                                           \
    table(kernels)->direct_##S->depthwise_gradient(shape, x, dy, g);                                            \
  }                                                                                                             \
  void vb_plane_##S(const vb_kernels *kernels, const vb_plane *shape, const T *x, const T *w, T start, T *y) {  \
    table(kernels)->direct_##S->plane(shape, x, w, start, y);                                                   \
  }                                                                                                             \
  void vb_plane_gradient_##S(const vb_kernels *kernels, const vb_plane *shape, const T *x, const T *dy, T *g) { \
    table(kernels)->direct_##S->plane_gradient(shape, x, dy, g);                                                \
  }

VB_GEMM_ENTRIES(float, f32)
VB_GEMM_ENTRIES(double, f64)
VB_DIRECT_ENTRIES(float, f32)
VB_DIRECT_ENTRIES(double, f64)

#define VB_LINES_ENTRIES(T, S)                                                                                  \
  void vb_gather_lines_##S(const vb_kernels *kernels, size_t lines, size_t before, size_t length, size_t after, \
                           const T *from, size_t from_stride, size_t step, T *to) {                             \
    table(kernels)->lines_##S->gather(lines, before, length, after, from, from_stride, step, to);               \
  }                                                                                                             \
  void vb_scatter_lines_##S(const vb_kernels *kernels, size_t lines, size_t length, const T *from,              \
                            size_t from_stride, T *to, size_t to_stride, size_t step) {                         \
    table(kernels)->lines_##S->scatter(lines, length, from, from_stride, to, to_stride, step);                  \
  }

VB_LINES_ENTRIES(float, f32)
VB_LINES_ENTRIES(double, f64)

void vb_axpy_f32(const vb_kernels *kernels, size_t n, float a, const float *x, float *y) {
  table(kernels)->elementwise->axpy(n, a, x, y);
}
void vb_relu_f32(const vb_kernels *kernels, size_t n, const float *x, float *y) {
  table(kernels)->elementwise->relu(n, x, y);
}
void vb_relu_backward_f32(const vb_kernels *kernels, size_t n, const float *y, const float *dy, float *dx) {
  table(kernels)->elementwise->relu_backward(n, y, dy, dx);
}
void vb_bias_nchw_f32(const vb_kernels *kernels, size_t channels, size_t area, const float *bias, float *y) {
  table(kernels)->elementwise->bias_nchw(channels, area, bias, y);
}
void vb_bias_nhwc_f32(const vb_kernels *kernels, size_t pixels, size_t channels, const float *bias, float *y) {
  table(kernels)->elementwise->bias_nhwc(pixels, channels, bias, y);
}
void vb_sum_nchw_f32(const vb_kernels *kernels, size_t channels, size_t area, const float *y, float *sum) {
  table(kernels)->elementwise->sum_nchw(channels, area, y, sum);
}
void vb_sum_nhwc_f32(const vb_kernels *kernels, size_t pixels, size_t channels, const float *y, float *sum) {
  table(kernels)->elementwise->sum_nhwc(pixels, channels, y, sum);
}
void vb_max_pairs_f32(const vb_kernels *kernels, size_t height, size_t width, size_t channels, const float *x, float *y,
                      uint8_t *winner) {
  table(kernels)->pooling->max_pairs(height, width, channels, x, y, winner);
}
void vb_spread_pairs_f32(const vb_kernels *kernels, size_t height, size_t width, size_t channels, const float *dy,
                         const float *y, const uint8_t *winner, float *dx, float *sum) {
  table(kernels)->pooling->spread_pairs(height, width, channels, dy, y, winner, dx, sum);
}
void vb_moments_f32(const vb_kernels *kernels, size_t rows, size_t channels, const float *x, double *mean,
                    double *squares) {
  table(kernels)->normalization->moments(rows, channels, x, mean, squares);
}
void vb_normalize_f32(const vb_kernels *kernels, size_t rows, size_t channels, const float *x, const float *mean,
                      const float *factor, const float *shift, const float *other, int relu, float *y) {
  table(kernels)->normalization->normalize(rows, channels, x, mean, factor, shift, other, relu, y);
}
void vb_normalize_sums_f32(const vb_kernels *kernels, size_t rows, size_t channels, const float *dy, const float *y,
                           const float *x, const float *mean, double *sum, double *product, float *masked) {
  table(kernels)->normalization->sums(rows, channels, dy, y, x, mean, sum, product, masked);
}
void vb_normalize_backward_f32(const vb_kernels *kernels, size_t rows, size_t channels, const float *dy, const float *y,
                               const float *x, const float *mean, const float *factor, const float *offset,
                               const float *slope, float *dx) {
  table(kernels)->normalization->backward(rows, channels, dy, y, x, mean, factor, offset, slope, dx);
}
void vb_adam_f32(const vb_kernels *kernels, size_t n, const vb_adam *factors, float *p, const float *g, float *m,
                 float *v) {
  table(kernels)->optimizer->adam(n, factors, p, g, m, v);
}
void vb_sgd_f32(const vb_kernels *kernels, size_t n, const vb_sgd *factors, int nesterov, float *p, const float *g,
                float *v) {
  table(kernels)->optimizer->sgd(n, factors, nesterov, p, g, v);
}
void vb_fourier_forward_f32(const vb_kernels *kernels, const vb_fourier *fourier, size_t rows, size_t columns,
                            const float *in, ptrdiff_t in_row, float *work, float *out, ptrdiff_t out_bin) {
  table(kernels)->fourier->forward(fourier, rows, columns, in, in_row, work, out, out_bin);
}
void vb_fourier_inverse_f32(const vb_kernels *kernels, const vb_fourier *fourier, size_t rows, size_t columns,
                            float scale, const float *in, ptrdiff_t in_bin, float *work, float *out,
                            ptrdiff_t out_row) {
  table(kernels)->fourier->inverse(fourier, rows, columns, scale, in, in_bin, work, out, out_row);
}
void vb_spectral_product_f32(const vb_kernels *kernels, size_t bins, size_t m, size_t blocks, size_t k, vb_spectral a,
                             int transpose_a, vb_spectral b, vb_spectral c, int accumulate) {
  table(kernels)->spectral->product(bins, m, blocks, k, a, transpose_a != 0, b, c, accumulate);
}
void vb_lanes_load_f32(const vb_kernels *kernels, size_t pixels, size_t lanes, const float *in, ptrdiff_t in_pixel,
                       float *out) {
  table(kernels)->fourier->load(pixels, lanes, in, in_pixel, out);
}
void vb_lanes_store_f32(const vb_kernels *kernels, size_t pixels, size_t lanes, const float *in, float *out,
                        ptrdiff_t out_pixel) {
  table(kernels)->fourier->store(pixels, lanes, in, out, out_pixel);
}
void vb_lanes_reverse_f32(const vb_kernels *kernels, size_t pixels, float *strip) {
  table(kernels)->fourier->reverse(pixels, strip);
}
float vb_fma_chains_f32(const vb_kernels *kernels, size_t iterations, float seed) {
  return table(kernels)->limits->chains(iterations, seed);
}
size_t vb_fma_chains_flops(const vb_kernels *kernels) { return table(kernels)->limits->flops; }
uint32_t vb_read_u32(const vb_kernels *kernels, size_t passes, size_t n, const uint32_t *x) {
  return table(kernels)->limits->read(passes, n, x);
}
void vb_write_u32(const vb_kernels *kernels, size_t passes, size_t n, uint32_t value, uint32_t *y) {
  table(kernels)->limits->write(passes, n, value, y);
}
void vb_triad_f32(const vb_kernels *kernels, size_t passes, size_t n, float s, const float *b, const float *c,
                  float *a) {
  table(kernels)->limits->triad(passes, n, s, b, c, a);
}
