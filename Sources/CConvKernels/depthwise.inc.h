// Depthwise convolution for one instruction set and one element type: channels last (vectors of channels) and planes
// (vectors of neighbouring windows). Expects VB_ISA, VB_T, VB_S, VB_BYTES, and VB_FULL, VB_HALF: lanes of a vector and of
// half a vector, as literals. Undefines VB_T, VB_S, VB_FULL, VB_HALF for the next inclusion.
#define VB_N(x) VB_JOIN(x, VB_JOIN(_, VB_JOIN(VB_S, VB_JOIN(_, VB_ISA))))
#define VB_COLUMNS 8
#define VB_TAPS 9

#define VB_W VB_FULL
#include "depthwise_lanes.inc.h"
#if VB_HALF > 1
#define VB_W VB_HALF
#include "depthwise_lanes.inc.h"
#endif
#define VB_W 1
#include "depthwise_lanes.inc.h"
#define VB_L(x, W) VB_JOIN(x, VB_JOIN(_, VB_JOIN(W, VB_JOIN(_, VB_JOIN(VB_S, VB_JOIN(_, VB_ISA))))))

static void VB_N(depthwise)(const vb_depthwise *shape, const VB_T *x, const VB_T *w, const VB_T *bias, VB_T *y) {
  size_t full = shape->channels / VB_FULL * VB_FULL;
  size_t half = VB_HALF > 1 ? shape->channels / VB_HALF * VB_HALF : full;
  if (full) VB_L(depthwise_row, VB_FULL)(shape, 0, full, x, w, bias, y);
#if VB_HALF > 1
  if (half > full) VB_L(depthwise_row, VB_HALF)(shape, full, half, x, w, bias, y);
#endif
  if (shape->channels > half) VB_L(depthwise_row, 1)(shape, half, shape->channels, x, w, bias, y);
}

static void VB_N(depthwise_gradient)(const vb_depthwise *shape, const VB_T *x, const VB_T *dy, VB_T *g) {
  size_t full = shape->channels / VB_FULL * VB_FULL;
  size_t half = VB_HALF > 1 ? shape->channels / VB_HALF * VB_HALF : full;
  if (full) VB_L(gradient_taps, VB_FULL)(shape, 0, full, x, dy, g);
#if VB_HALF > 1
  if (half > full) VB_L(gradient_taps, VB_HALF)(shape, full, half, x, dy, g);
#endif
  if (shape->channels > half) VB_L(gradient_taps, 1)(shape, half, shape->channels, x, dy, g);
}

#define VB_V VB_L(lanes, VB_FULL)
#define VB_P VB_L(loose_lanes, VB_FULL)

// `n` vectors of windows (a literal), of which the last may be partial.
static inline __attribute__((always_inline)) void VB_N(plane_tile)(const int n, const vb_plane *shape, size_t width,
                                                                   const VB_T *x, const VB_T *w, VB_T start,
                                                                   VB_T *y) {
  VB_V sum[VB_COLUMNS];
  VB_UNROLL for (int i = 0; i < n; i++) sum[i] = (VB_V){0};
  for (size_t t = 0; t < shape->taps; t++) {
    VB_V tap = w[t] - (VB_V){0};
    const VB_T *at = x + shape->offsets[t];
    VB_UNROLL for (int i = 0; i < n; i++) sum[i] += *(const VB_P *)(at + i * VB_FULL) * tap;
  }
  VB_V shift = start - (VB_V){0};
  VB_UNROLL for (int i = 0; i < n; i++) sum[i] += shift;
  if (shape->relu)
    VB_UNROLL for (int i = 0; i < n; i++) VB_RELU(sum[i]);
  VB_UNROLL for (int i = 0; i < n; i++) {
    size_t left = i < n - 1 ? VB_FULL : width - (n - 1) * VB_FULL;
    VB_T *to = y + i * VB_FULL * shape->y_step;
    if (left == VB_FULL && shape->y_step == 1) {
      *(VB_P *)to = shape->accumulate ? *(VB_P *)to + sum[i] : sum[i];
    } else {
      VB_T lane[VB_FULL];
      *(VB_P *)lane = sum[i];
      for (size_t l = 0; l < left; l++, to += shape->y_step) *to = shape->accumulate ? *to + lane[l] : lane[l];
    }
  }
}

static void VB_N(plane)(const vb_plane *shape, const VB_T *x, const VB_T *w, VB_T start, VB_T *y) {
  for (size_t j = 0; j < shape->rows; j++) {
    const VB_T *px = x + (ptrdiff_t)j * shape->x_row;
    VB_T *py = y + (ptrdiff_t)j * shape->y_row;
    size_t i = 0;
    for (; i + VB_COLUMNS * VB_FULL <= shape->columns; i += VB_COLUMNS * VB_FULL)
      VB_N(plane_tile)(VB_COLUMNS, shape, VB_COLUMNS * VB_FULL, px + i, w, start, py + (ptrdiff_t)i * shape->y_step);
#define VB_STEP(N)                                                                                             \
  for (; i + (N - 1) * VB_FULL < shape->columns; i += N * VB_FULL) {                                            \
    size_t width = shape->columns - i < N * VB_FULL ? shape->columns - i : N * VB_FULL;                         \
    VB_N(plane_tile)(N, shape, width, px + i, w, start, py + (ptrdiff_t)i * shape->y_step);                     \
  }
    VB_STEP(4)
    VB_STEP(3)
    VB_STEP(2)
    VB_STEP(1)
#undef VB_STEP
  }
}

// The sums of `n` taps (a literal). The lanes behind a last, partial vector of x and dy are zero.
static inline __attribute__((always_inline)) void VB_N(plane_gradient_tile)(const int n, const vb_plane *shape,
                                                                            const ptrdiff_t *offsets, const VB_T *x,
                                                                            const VB_T *dy, VB_T *g) {
  VB_V sum[VB_TAPS];
  ptrdiff_t at[VB_TAPS];
  VB_UNROLL for (int t = 0; t < n; t++) {
    sum[t] = (VB_V){0};
    at[t] = offsets[t];
  }
  size_t whole = shape->columns / VB_FULL * VB_FULL, rest = shape->columns - whole;
  __typeof__((VB_V){0} < 0) live;
  for (int l = 0; l < VB_FULL; l++) live[l] = -((size_t)l < rest);
  for (size_t j = 0; j < shape->rows; j++) {
    const VB_T *px = x + (ptrdiff_t)j * shape->x_row, *py = dy + (ptrdiff_t)j * shape->y_row;
    for (size_t i = 0; i < whole; i += VB_FULL) {
      VB_V d = *(const VB_P *)(py + i);
      VB_UNROLL for (int t = 0; t < n; t++) sum[t] += *(const VB_P *)(px + i + at[t]) * d;
    }
    if (rest) {
      VB_T lane[VB_FULL] = {0};
      for (size_t l = 0; l < rest; l++) lane[l] = py[whole + l];
      VB_V d = *(const VB_P *)lane;
      VB_UNROLL for (int t = 0; t < n; t++) {
        // What lies behind the last window may be no number, and 0 times that is none.
        VB_V pixels = *(const VB_P *)(px + whole + at[t]);
        sum[t] += (VB_V)((__typeof__(live))pixels & live) * d;
      }
    }
  }
  VB_UNROLL for (int t = 0; t < n; t++) {
    VB_T lane[VB_FULL], total = 0;
    *(VB_P *)lane = sum[t];
    for (int l = 0; l < VB_FULL; l++) total += lane[l];
    g[t] += total;
  }
}

static void VB_N(plane_gradient)(const vb_plane *shape, const VB_T *x, const VB_T *dy, VB_T *g) {
  size_t t = 0;
#define VB_STEP(N) \
  for (; t + N <= shape->taps; t += N) VB_N(plane_gradient_tile)(N, shape, shape->offsets + t, x, dy, g + t);
  VB_STEP(9)
  VB_STEP(5)
  VB_STEP(3)
  VB_STEP(1)
#undef VB_STEP
}

const VB_JOIN(vb_direct_table_, VB_S) VB_JOIN(vb_direct_, VB_JOIN(VB_S, VB_JOIN(_, VB_ISA))) = {
    VB_N(implicit), VB_N(depthwise), VB_N(depthwise_gradient), VB_N(plane), VB_N(plane_gradient)};

#undef VB_V
#undef VB_P
#undef VB_L
#undef VB_N
#undef VB_COLUMNS
#undef VB_TAPS
#undef VB_FULL
#undef VB_HALF
#undef VB_T
#undef VB_S
