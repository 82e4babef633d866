// Max pooling of 2 x 2 windows for one instruction set; plain loops over channels that the compiler vectorises: 5 vectors
// live in the forward loop, 4 in the backward one. Expects VB_ISA.
#define VB_N(x) VB_JOIN(x, VB_JOIN(_, VB_ISA))

// Windows of one pass: the winners of a block wait in 32-bit lanes, as wide as the values, until they are narrowed.
#define VB_BLOCK 64

// Candidate `place` replaces the best where it is larger, or the first NaN.
#define VB_CHALLENGE(CANDIDATE, PLACE)                        \
  {                                                           \
    float value = CANDIDATE;                                  \
    int wins = (value > best) | ((value != value) & (best == best)); \
    best = wins ? value : best;                               \
    place = wins ? PLACE : place;                             \
  }

// n windows, `step` elements apart (a literal), whose two columns are `next` elements apart: the channels of one window
// (step 1, next = channels), or the windows of one channel's row (step 2, next = 1).
static inline __attribute__((always_inline)) void VB_N(max_windows)(const size_t step, size_t n,
                                                                    const float *restrict top,
                                                                    const float *restrict bottom, size_t next,
                                                                    float *restrict y, uint8_t *restrict winner) {
  while (n) {
    size_t block = n < VB_BLOCK ? n : VB_BLOCK;
    int32_t places[VB_BLOCK];
    for (size_t i = 0; i < block; i++) {
      float best = top[step * i];
      int32_t place = 0;
      VB_CHALLENGE(top[step * i + next], 1)
      VB_CHALLENGE(bottom[step * i], 2)
      VB_CHALLENGE(bottom[step * i + next], 3)
      y[i] = best;
      places[i] = place;
    }
    for (size_t i = 0; i < block; i++) winner[i] = (uint8_t)places[i];
    n -= block;
    top += step * block;
    bottom += step * block;
    y += block;
    winner += block;
  }
}

static void VB_N(max_pairs)(size_t height, size_t width, size_t channels, const float *x, float *y, uint8_t *winner) {
  size_t row = width * channels, columns = width / 2;
  for (size_t p = 0; p < height / 2; p++, x += 2 * row) {
    if (channels == 1) {
      VB_N(max_windows)(2, columns, x, x + row, 1, y, winner);
    } else {
      for (size_t q = 0; q < columns; q++) {
        const float *top = x + 2 * q * channels;
        VB_N(max_windows)(1, channels, top, top + row, channels, y + q * channels, winner + q * channels);
      }
    }
    y += columns * channels;
    winner += columns * channels;
  }
}

// The gradient of `max_windows`, with the same arguments. `masked`, a literal: where the largest value y is 0 or less, ReLU
// lets no gradient pass. `sum` grows by what passes, window by
// window.
static inline __attribute__((always_inline)) void VB_N(spread_windows)(const size_t step, const int masked, size_t n,
                                                                       const float *restrict dy,
                                                                       const float *restrict y,
                                                                       const uint8_t *restrict winner,
                                                                       float *restrict top, float *restrict bottom,
                                                                       size_t next, float *restrict sum) {
  for (size_t i = 0; i < n; i++) {
    float g = dy[i];
    uint32_t place = winner[i];
    if (masked) g = y[i] <= 0 ? 0 : g;
    top[step * i] = place == 0 ? g : 0;
    top[step * i + next] = place == 1 ? g : 0;
    bottom[step * i] = place == 2 ? g : 0;
    bottom[step * i + next] = place == 3 ? g : 0;
    sum[i] += g;
  }
}

static void VB_N(clear_row)(size_t n, float *x) {
  for (size_t i = 0; i < n; i++) x[i] = 0;
}

// Rows of windows of one channel: 64 partial sums, combined pairwise, whatever the vector width.
static inline __attribute__((always_inline)) void VB_N(spread_plane)(const int masked, size_t height, size_t width,
                                                                     const float *dy, const float *y,
                                                                     const uint8_t *winner, float *dx, float *sum) {
  float part[VB_BLOCK] = {0};
  size_t columns = width / 2;
  for (size_t p = 0; p < height / 2; p++, dx += 2 * width) {
    for (size_t q = 0; q < columns; q += VB_BLOCK) {
      size_t n = columns - q < VB_BLOCK ? columns - q : VB_BLOCK;
      VB_N(spread_windows)(2, masked, n, dy, y, winner, dx + 2 * q, dx + 2 * q + width, 1, part);
      dy += n;
      winner += n;
      if (masked) y += n;
    }
  }
  for (int half = VB_BLOCK / 2; half; half /= 2)
    for (int l = 0; l < half; l++) part[l] += part[l + half];
  *sum += part[0];
}

static inline __attribute__((always_inline)) void VB_N(spread_image)(const int masked, size_t height, size_t width,
                                                                     size_t channels, const float *dy, const float *y,
                                                                     const uint8_t *winner, float *dx, float *sum) {
  size_t row = width * channels, columns = width / 2;
  if (channels == 1) {
    VB_N(spread_plane)(masked, height, width, dy, y, winner, dx, sum);
    return;
  }
  for (size_t p = 0; p < height / 2; p++, dx += 2 * row) {
    for (size_t q = 0; q < columns; q++) {
      float *top = dx + 2 * q * channels;
      VB_N(spread_windows)(1, masked, channels, dy, y, winner, top, top + row, channels, sum);
      dy += channels;
      winner += channels;
      if (masked) y += channels;
    }
  }
}

static void VB_N(spread_pairs)(size_t height, size_t width, size_t channels, const float *dy, const float *y,
                               const uint8_t *winner, float *dx, float *sum) {
  size_t row = width * channels;
  if (height % 2) VB_N(clear_row)(row, dx + (height - 1) * row);
  if (width % 2)
    for (size_t h = 0; h < height; h++) VB_N(clear_row)(channels, dx + h * row + (width - 1) * channels);
  if (y) VB_N(spread_image)(1, height, width, channels, dy, y, winner, dx, sum);
  else VB_N(spread_image)(0, height, width, channels, dy, y, winner, dx, sum);
}

const vb_pooling_table VB_JOIN(vb_pooling_, VB_ISA) = {VB_N(max_pairs), VB_N(spread_pairs)};
