// Batch normalisation for one instruction set; plain loops over channels (or over 64 lanes of one channel) that the compiler
// vectorises: at most 6 values live. Sums of a block stay in L1, memory is read in its order. Expects VB_ISA.
#define VB_N(x) VB_JOIN(x, VB_JOIN(_, VB_ISA))
#define VB_INLINE static inline __attribute__((always_inline))

// Channels whose sums are kept at a time; lanes of one channel; elements of one channel, and bytes of rows, in a block.
#define VB_STRIP 512
#define VB_LANES 64
#define VB_LINE 4096
#define VB_BLOCK_BYTES 32768

// Rows of a block: few enough that the second pass finds them in the cache and that chains of float additions stay short.
VB_INLINE size_t VB_N(block_rows)(size_t channels) {
  size_t rows = VB_BLOCK_BYTES / sizeof(float) / channels;
  return rows > 128 ? 128 : rows < 16 ? 16 : rows;
}

VB_INLINE void VB_N(add_deviations)(size_t rows, size_t stride, size_t width, const float *restrict x,
                                    const float *restrict center, float *restrict sum) {
  for (size_t r = 0; r < rows; r++)
    for (size_t l = 0; l < width; l++) sum[l] += x[r * stride + l] - center[l];
}

VB_INLINE void VB_N(add_squares)(size_t rows, size_t stride, size_t width, const float *restrict x,
                                 const float *restrict center, float *restrict sum) {
  for (size_t r = 0; r < rows; r++)
    for (size_t l = 0; l < width; l++) {
      float deviation = x[r * stride + l] - center[l];
      sum[l] += deviation * deviation;
    }
}

// Joins a block of n elements with `count` earlier ones.
VB_INLINE void VB_N(join)(size_t count, size_t n, double block_mean, double block_squares, double *mean, double *squares) {
  double share = (double)n / (double)(count + n), delta = block_mean - *mean;
  *mean = count ? *mean + delta * share : block_mean;
  *squares = count ? *squares + block_squares + delta * delta * (double)count * share : block_squares;
}

static void VB_N(moments_line)(size_t count, const float *x, double *mean, double *squares) {
  for (size_t i = 0; i < count; i += VB_LINE, x += VB_LINE) {
    size_t n = count - i < VB_LINE ? count - i : VB_LINE, full = n / VB_LANES, rest = n % VB_LANES;
    const float *tail = x + full * VB_LANES;
    float center[VB_LANES], sum[VB_LANES] = {0}, square[VB_LANES] = {0};
    for (int l = 0; l < VB_LANES; l++) center[l] = x[0];
    VB_N(add_deviations)(full, VB_LANES, VB_LANES, x, center, sum);
    VB_N(add_deviations)(1, 0, rest, tail, center, sum);
    double total = 0, about = 0;
    for (int l = 0; l < VB_LANES; l++) total += sum[l];
    total = (double)x[0] + total / (double)n;
    for (int l = 0; l < VB_LANES; l++) center[l] = (float)total;
    VB_N(add_squares)(full, VB_LANES, VB_LANES, x, center, square);
    VB_N(add_squares)(1, 0, rest, tail, center, square);
    for (int l = 0; l < VB_LANES; l++) about += square[l];
    VB_N(join)(i, n, total, about, mean, squares);
  }
}

static void VB_N(moments)(size_t rows, size_t channels, const float *x, double *mean, double *squares) {
  if (channels == 1) {
    VB_N(moments_line)(rows, x, mean, squares);
    return;
  }
  size_t block = VB_N(block_rows)(channels);
  for (size_t c = 0; c < channels; c += VB_STRIP) {
    size_t width = channels - c < VB_STRIP ? channels - c : VB_STRIP;
    for (size_t r = 0; r < rows; r += block) {
      size_t n = rows - r < block ? rows - r : block;
      const float *first = x + r * channels + c;
      float sum[VB_STRIP], center[VB_STRIP], square[VB_STRIP];
      for (size_t l = 0; l < width; l++) sum[l] = square[l] = 0;
      VB_N(add_deviations)(n, channels, width, first, first, sum);
      float inverse = 1 / (float)n;
      for (size_t l = 0; l < width; l++) center[l] = first[l] + sum[l] * inverse;
      VB_N(add_squares)(n, channels, width, first, center, square);
      for (size_t l = 0; l < width; l++)
        VB_N(join)(r, n, (double)first[l] + (double)sum[l] / (double)n, square[l], mean + c + l, squares + c + l);
    }
  }
}

// n elements; `step` (a literal) is 1 where each has its own mean, factor and shift, 0 where they share one.
VB_INLINE void VB_N(normalize_row)(const size_t step, const int adds, const int relu, size_t n, const float *restrict x,
                                   const float *restrict mean, const float *restrict factor,
                                   const float *restrict shift, const float *restrict other, float *restrict y) {
  for (size_t i = 0; i < n; i++) {
    float value = (x[i] - mean[step * i]) * factor[step * i] + shift[step * i];
    if (adds) value += other[i];
    y[i] = relu && value < 0 ? 0 : value;
  }
}

#define VB_NORMALIZE(ADDS, RELU)                                                                                  \
  {                                                                                                               \
    if (channels == 1) {                                                                                          \
      VB_N(normalize_row)(0, ADDS, RELU, rows, x, mean, factor, shift, other, y);                                 \
    } else {                                                                                                      \
      for (size_t i = 0; i < rows * channels; i += channels)                                                      \
        VB_N(normalize_row)(1, ADDS, RELU, channels, x + i, mean, factor, shift, ADDS ? other + i : other, y + i); \
    }                                                                                                             \
  }

static void VB_N(normalize)(size_t rows, size_t channels, const float *x, const float *mean, const float *factor,
                            const float *shift, const float *other, int relu, float *y) {
  if (other && relu) VB_NORMALIZE(1, 1)
  else if (other) VB_NORMALIZE(1, 0)
  else if (relu) VB_NORMALIZE(0, 1)
  else VB_NORMALIZE(0, 0)
}

// One block; `masks` and `keeps` are literals.
VB_INLINE void VB_N(add_products)(const int masks, const int keeps, size_t rows, size_t stride, size_t width,
                                  const float *restrict dy, const float *restrict y, const float *restrict x,
                                  const float *restrict mean, float *restrict sum, float *restrict product,
                                  float *restrict masked) {
  for (size_t r = 0; r < rows; r++)
    for (size_t l = 0; l < width; l++) {
      size_t i = r * stride + l;
      float g = dy[i];
      if (masks) g = y[i] <= 0 ? 0 : g;
      if (keeps) masked[i] = g;
      sum[l] += g;
      product[l] += g * (x[i] - mean[l]);
    }
}

VB_INLINE void VB_N(sums_line)(const int masks, const int keeps, size_t count, const float *dy, const float *y,
                               const float *x, const float *mean, double *sum, double *product, float *masked) {
  float center[VB_LANES];
  for (int l = 0; l < VB_LANES; l++) center[l] = mean[0];
  double total = 0, joint = 0;
  for (size_t i = 0; i < count; i += VB_LINE) {
    size_t n = count - i < VB_LINE ? count - i : VB_LINE, full = n / VB_LANES, at = i + full * VB_LANES;
    float part[VB_LANES] = {0}, with[VB_LANES] = {0};
    VB_N(add_products)(masks, keeps, full, VB_LANES, VB_LANES, dy + i, masks ? y + i : y, x + i, center, part, with,
                       keeps ? masked + i : masked);
    VB_N(add_products)(masks, keeps, 1, 0, n % VB_LANES, dy + at, masks ? y + at : y, x + at, center, part, with,
                       keeps ? masked + at : masked);
    for (int l = 0; l < VB_LANES; l++) total += part[l], joint += with[l];
  }
  *sum = total;
  *product = joint;
}

VB_INLINE void VB_N(sums_rows)(const int masks, const int keeps, size_t rows, size_t channels, const float *dy,
                               const float *y, const float *x, const float *mean, double *sum, double *product,
                               float *masked) {
  size_t block = VB_N(block_rows)(channels);
  for (size_t c = 0; c < channels; c++) sum[c] = product[c] = 0;
  for (size_t c = 0; c < channels; c += VB_STRIP) {
    size_t width = channels - c < VB_STRIP ? channels - c : VB_STRIP;
    for (size_t r = 0; r < rows; r += block) {
      size_t n = rows - r < block ? rows - r : block, at = r * channels + c;
      float part[VB_STRIP], with[VB_STRIP];
      for (size_t l = 0; l < width; l++) part[l] = with[l] = 0;
      VB_N(add_products)(masks, keeps, n, channels, width, dy + at, masks ? y + at : y, x + at, mean + c, part, with,
                         keeps ? masked + at : masked);
      for (size_t l = 0; l < width; l++) sum[c + l] += part[l], product[c + l] += with[l];
    }
  }
}

#define VB_SUMS(MASKS, KEEPS)                                                              \
  {                                                                                        \
    if (channels == 1) VB_N(sums_line)(MASKS, KEEPS, rows, dy, y, x, mean, sum, product, masked); \
    else VB_N(sums_rows)(MASKS, KEEPS, rows, channels, dy, y, x, mean, sum, product, masked); \
  }

static void VB_N(normalize_sums)(size_t rows, size_t channels, const float *dy, const float *y, const float *x,
                                 const float *mean, double *sum, double *product, float *masked) {
  if (y && masked) VB_SUMS(1, 1)
  else if (y) VB_SUMS(1, 0)
  else VB_SUMS(0, 0)
}

VB_INLINE void VB_N(backward_row)(const size_t step, const int masks, size_t n, const float *restrict dy,
                                  const float *restrict y, const float *restrict x, const float *restrict mean,
                                  const float *restrict factor, const float *restrict offset,
                                  const float *restrict slope, float *restrict dx) {
  for (size_t i = 0; i < n; i++) {
    float g = dy[i];
    if (masks) g = y[i] <= 0 ? 0 : g;
    dx[i] = factor[step * i] * (g - offset[step * i] - (x[i] - mean[step * i]) * slope[step * i]);
  }
}

#define VB_BACKWARD(MASKS)                                                                                       \
  {                                                                                                              \
    if (channels == 1) {                                                                                         \
      VB_N(backward_row)(0, MASKS, rows, dy, y, x, mean, factor, offset, slope, dx);                             \
    } else {                                                                                                     \
      for (size_t i = 0; i < rows * channels; i += channels)                                                     \
        VB_N(backward_row)(1, MASKS, channels, dy + i, MASKS ? y + i : y, x + i, mean, factor, offset, slope, dx + i); \
    }                                                                                                            \
  }

static void VB_N(normalize_backward)(size_t rows, size_t channels, const float *dy, const float *y, const float *x,
                                     const float *mean, const float *factor, const float *offset, const float *slope,
                                     float *dx) {
  if (y) VB_BACKWARD(1)
  else VB_BACKWARD(0)
}

const vb_normalization_table VB_JOIN(vb_normalization_, VB_ISA) = {VB_N(moments), VB_N(normalize), VB_N(normalize_sums),
                                                                   VB_N(normalize_backward)};
