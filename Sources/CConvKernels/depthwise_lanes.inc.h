// Depthwise kernels for vectors of VB_W channels; included by depthwise.inc.h once per width. Undefines VB_W.
#define VB_L(x) VB_JOIN(x, VB_JOIN(_, VB_JOIN(VB_W, VB_JOIN(_, VB_JOIN(VB_S, VB_JOIN(_, VB_ISA))))))

typedef VB_T VB_L(lanes) __attribute__((vector_size(VB_W * sizeof(VB_T))));
typedef VB_T VB_L(loose_lanes) __attribute__((vector_size(VB_W * sizeof(VB_T)), aligned(sizeof(VB_T)), may_alias));

// `n` windows (a literal) of channels [from, to), whole vectors only. Weights and the address of a tap are loaded once
// for all windows; x is the memory operand of the FMA.
static inline __attribute__((always_inline)) void VB_L(depthwise_tile)(const int n, const vb_depthwise *shape,
                                                                       size_t from, size_t to, const VB_T *x,
                                                                       const VB_T *w, const VB_T *bias, VB_T *y) {
  const ptrdiff_t x_step = shape->x_step, y_step = shape->y_step;
  const size_t taps = shape->taps;
  const ptrdiff_t *offsets = shape->offsets, *weights = shape->weights;
  for (size_t c = from; c < to; c += VB_W) {
    VB_L(lanes) sum[VB_COLUMNS];
    VB_UNROLL for (int i = 0; i < n; i++) sum[i] = (VB_L(lanes)){0};
    for (size_t t = 0; t < taps; t++) {
      VB_L(lanes) tap = *(const VB_L(loose_lanes) *)(w + weights[t] + c);
      const VB_T *at = x + offsets[t] + c;
      VB_UNROLL for (int i = 0; i < n; i++) sum[i] += *(const VB_L(loose_lanes) *)(at + i * x_step) * tap;
    }
    if (bias) {
      VB_L(lanes) shift = *(const VB_L(loose_lanes) *)(bias + c);
      VB_UNROLL for (int i = 0; i < n; i++) sum[i] += shift;
    }
    if (shape->relu)
      VB_UNROLL for (int i = 0; i < n; i++) VB_RELU(sum[i]);
    VB_UNROLL for (int i = 0; i < n; i++) {
      VB_L(loose_lanes) *out = (VB_L(loose_lanes) *)(y + i * y_step + c);
      *out = shape->accumulate ? *out + sum[i] : sum[i];
    }
  }
}

// All windows of a row, channels [from, to).
static void VB_L(depthwise_row)(const vb_depthwise *shape, size_t from, size_t to, const VB_T *x, const VB_T *w,
                                const VB_T *bias, VB_T *y) {
  size_t i = 0;
  for (; i + VB_COLUMNS <= shape->columns; i += VB_COLUMNS) {
    VB_L(depthwise_tile)(VB_COLUMNS, shape, from, to, x, w, bias, y);
    x += VB_COLUMNS * shape->x_step;
    y += VB_COLUMNS * shape->y_step;
  }
  for (; i + 4 <= shape->columns; i += 4) {
    VB_L(depthwise_tile)(4, shape, from, to, x, w, bias, y);
    x += 4 * shape->x_step;
    y += 4 * shape->y_step;
  }
  for (; i + 2 <= shape->columns; i += 2) {
    VB_L(depthwise_tile)(2, shape, from, to, x, w, bias, y);
    x += 2 * shape->x_step;
    y += 2 * shape->y_step;
  }
  if (i < shape->columns) VB_L(depthwise_tile)(1, shape, from, to, x, w, bias, y);
}

// The sums of `n` taps (a literal) over all rows of windows.
static inline __attribute__((always_inline)) void VB_L(gradient_tile)(const int n, const vb_depthwise *shape,
                                                                      const ptrdiff_t *offsets,
                                                                      const ptrdiff_t *weights, size_t from,
                                                                      size_t to, const VB_T *x, const VB_T *dy,
                                                                      VB_T *g) {
  const ptrdiff_t x_step = shape->x_step, y_step = shape->y_step;
  ptrdiff_t at[VB_TAPS];
  VB_UNROLL for (int t = 0; t < n; t++) at[t] = offsets[t];
  for (size_t c = from; c < to; c += VB_W) {
    VB_L(lanes) sum[VB_TAPS];
    VB_UNROLL for (int t = 0; t < n; t++) sum[t] = *(const VB_L(loose_lanes) *)(g + weights[t] + c);
    for (size_t j = 0; j < shape->rows; j++) {
      const VB_T *px = x + (ptrdiff_t)j * shape->x_row + c, *py = dy + (ptrdiff_t)j * shape->y_row + c;
      for (size_t i = 0; i < shape->columns; i++) {
        VB_L(lanes) d = *(const VB_L(loose_lanes) *)py;
        VB_UNROLL for (int t = 0; t < n; t++) sum[t] += *(const VB_L(loose_lanes) *)(px + at[t]) * d;
        px += x_step;
        py += y_step;
      }
    }
    VB_UNROLL for (int t = 0; t < n; t++) *(VB_L(loose_lanes) *)(g + weights[t] + c) = sum[t];
  }
}

static void VB_L(gradient_taps)(const vb_depthwise *shape, size_t from, size_t to, const VB_T *x, const VB_T *dy,
                                VB_T *g) {
  size_t t = 0;
#define VB_STEP(N)                                                                                             \
  for (; t + N <= shape->taps; t += N)                                                                         \
    VB_L(gradient_tile)(N, shape, shape->offsets + t, shape->weights + t, from, to, x, dy, g);
  VB_STEP(9)
  VB_STEP(6)
  VB_STEP(3)
  VB_STEP(1)
#undef VB_STEP
}

#undef VB_L
#undef VB_W
