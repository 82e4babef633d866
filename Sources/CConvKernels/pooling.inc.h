// Max pooling of 2 x 2 windows for one instruction set; plain loops over channels that the compiler vectorises: 5 vectors
// live in the forward loop, 3 in the backward one. Expects VB_ISA.
#define VB_N(x) VB_JOIN(x, VB_JOIN(_, VB_ISA))

// Channels of one pass: the winners of a block wait in 32-bit lanes, as wide as the values, until they are narrowed.
#define VB_BLOCK 64

// Candidate `place` replaces the best where it is larger, or the first NaN.
#define VB_CHALLENGE(CANDIDATE, PLACE)                        \
  {                                                           \
    float value = CANDIDATE;                                  \
    int wins = (value > best) | ((value != value) & (best == best)); \
    best = wins ? value : best;                               \
    place = wins ? PLACE : place;                             \
  }

static inline __attribute__((always_inline)) void VB_N(max_block)(size_t n, const float *restrict top,
                                                                  const float *restrict bottom, size_t next,
                                                                  float *restrict y, uint8_t *restrict winner) {
  int32_t places[VB_BLOCK];
  for (size_t c = 0; c < n; c++) {
    float best = top[c];
    int32_t place = 0;
    VB_CHALLENGE(top[next + c], 1)
    VB_CHALLENGE(bottom[c], 2)
    VB_CHALLENGE(bottom[next + c], 3)
    y[c] = best;
    places[c] = place;
  }
  for (size_t c = 0; c < n; c++) winner[c] = (uint8_t)places[c];
}

// One channel: neighbours in memory are neighbours in the window, windows are two elements apart.
static void VB_N(max_plane)(size_t height, size_t width, const float *restrict x, float *restrict y,
                            uint8_t *restrict winner) {
  size_t columns = width / 2;
  for (size_t p = 0; p < height / 2; p++, y += columns, winner += columns) {
    const float *top = x + 2 * p * width, *bottom = top + width;
    for (size_t q0 = 0; q0 < columns; q0 += VB_BLOCK) {
      size_t n = columns - q0 < VB_BLOCK ? columns - q0 : VB_BLOCK;
      int32_t places[VB_BLOCK];
      for (size_t i = 0; i < n; i++) {
        size_t q = q0 + i;
        float best = top[2 * q];
        int32_t place = 0;
        VB_CHALLENGE(top[2 * q + 1], 1)
        VB_CHALLENGE(bottom[2 * q], 2)
        VB_CHALLENGE(bottom[2 * q + 1], 3)
        y[q] = best;
        places[i] = place;
      }
      for (size_t i = 0; i < n; i++) winner[q0 + i] = (uint8_t)places[i];
    }
  }
}

static void VB_N(max_pairs)(size_t height, size_t width, size_t channels, const float *x, float *y, uint8_t *winner) {
  if (channels == 1) {
    VB_N(max_plane)(height, width, x, y, winner);
    return;
  }
  for (size_t p = 0; p < height / 2; p++)
    for (size_t q = 0; q < width / 2; q++) {
      const float *top = x + (2 * p * width + 2 * q) * channels;
      for (size_t c = 0; c < channels; c += VB_BLOCK) {
        const float *bottom = top + width * channels;
        if (channels - c >= VB_BLOCK)
          VB_N(max_block)(VB_BLOCK, top + c, bottom + c, channels, y + c, winner + c);
        else
          VB_N(max_block)(channels - c, top + c, bottom + c, channels, y + c, winner + c);
      }
      y += channels;
      winner += channels;
    }
}

static void VB_N(spread_plane)(size_t height, size_t width, const float *restrict dy, const uint8_t *restrict winner,
                               float *restrict dx) {
  size_t columns = width / 2;
  for (size_t p = 0; p < height / 2; p++, dy += columns, winner += columns) {
    float *top = dx + 2 * p * width, *bottom = top + width;
    for (size_t q = 0; q < columns; q++) {
      float g = dy[q];
      uint32_t place = winner[q];
      top[2 * q] = place == 0 ? g : 0;
      top[2 * q + 1] = place == 1 ? g : 0;
      bottom[2 * q] = place == 2 ? g : 0;
      bottom[2 * q + 1] = place == 3 ? g : 0;
    }
  }
}

static void VB_N(clear_row)(size_t n, float *x) {
  for (size_t i = 0; i < n; i++) x[i] = 0;
}

static void VB_N(spread_pairs)(size_t height, size_t width, size_t channels, const float *dy, const uint8_t *winner,
                               float *dx) {
  size_t row = width * channels;
  if (height % 2) VB_N(clear_row)(row, dx + (height - 1) * row);
  if (width % 2)
    for (size_t h = 0; h < height; h++) VB_N(clear_row)(channels, dx + h * row + (width - 1) * channels);
  if (channels == 1) {
    VB_N(spread_plane)(height, width, dy, winner, dx);
    return;
  }
  for (size_t p = 0; p < height / 2; p++)
    for (size_t q = 0; q < width / 2; q++) {
      float *restrict top = dx + 2 * p * row + 2 * q * channels, *restrict bottom = top + row;
      for (size_t c = 0; c < channels; c++) {
        float g = dy[c];
        uint32_t place = winner[c];
        top[c] = place == 0 ? g : 0;
        top[channels + c] = place == 1 ? g : 0;
        bottom[c] = place == 2 ? g : 0;
        bottom[channels + c] = place == 3 ? g : 0;
      }
      dy += channels;
      winner += channels;
    }
}

const vb_pooling_table VB_JOIN(vb_pooling_, VB_ISA) = {VB_N(max_pairs), VB_N(spread_pairs)};
