// Elementwise passes for one instruction set; plain loops that the compiler vectorises. Expects VB_ISA.
#define VB_N(x) VB_JOIN(x, VB_JOIN(_, VB_ISA))

static void VB_N(axpy)(size_t n, float a, const float *restrict x, float *restrict y) {
  for (size_t i = 0; i < n; i++) y[i] += a * x[i];
}

static void VB_N(relu)(size_t n, const float *x, float *y) {
  for (size_t i = 0; i < n; i++) y[i] = x[i] < 0 ? 0 : x[i];
}

static void VB_N(relu_backward)(size_t n, const float *y, const float *dy, float *dx) {
  for (size_t i = 0; i < n; i++) {
    float g = dy[i];
    dx[i] = y[i] <= 0 ? 0 : g;
  }
}

static void VB_N(bias_nchw)(size_t channels, size_t area, const float *restrict bias, float *restrict y) {
  for (size_t c = 0; c < channels; c++, y += area) {
    float b = bias[c];
    for (size_t i = 0; i < area; i++) y[i] += b;
  }
}

static void VB_N(bias_nhwc)(size_t pixels, size_t channels, const float *restrict bias, float *restrict y) {
  for (size_t p = 0; p < pixels; p++, y += channels)
    for (size_t c = 0; c < channels; c++) y[c] += bias[c];
}

static void VB_N(sum_nchw)(size_t channels, size_t area, const float *restrict y, float *restrict sum) {
  for (size_t c = 0; c < channels; c++, y += area) {
    // 64 partial sums, combined pairwise: the same order whatever the vector width.
    float part[64] = {0};
    size_t i = 0;
    for (; i + 64 <= area; i += 64)
      for (int l = 0; l < 64; l++) part[l] += y[i + l];
    for (int l = 0; i < area; i++, l++) part[l] += y[i];
    for (int half = 32; half; half /= 2)
      for (int l = 0; l < half; l++) part[l] += part[l + half];
    sum[c] += part[0];
  }
}

static void VB_N(sum_nhwc)(size_t pixels, size_t channels, const float *restrict y, float *restrict sum) {
  // Blocks of channels in a local array, so that a block's sums stay in registers or L1; blocks of pixels keep the
  // chains of additions, and with them the rounding error, short.
  for (size_t c0 = 0; c0 < channels; c0 += 64) {
    size_t width = channels - c0 < 64 ? channels - c0 : 64;
    for (size_t p0 = 0; p0 < pixels; p0 += 256) {
      size_t end = pixels - p0 < 256 ? pixels : p0 + 256;
      float part[64] = {0};
      if (width == 64) {
        for (size_t p = p0; p < end; p++)
          for (int l = 0; l < 64; l++) part[l] += y[p * channels + c0 + l];
      } else {
        for (size_t p = p0; p < end; p++)
          for (size_t l = 0; l < width; l++) part[l] += y[p * channels + c0 + l];
      }
      for (size_t l = 0; l < width; l++) sum[c0 + l] += part[l];
    }
  }
}

const vb_elementwise_table VB_JOIN(vb_elementwise_, VB_ISA) = {
    VB_N(axpy), VB_N(relu), VB_N(relu_backward), VB_N(bias_nchw), VB_N(bias_nhwc), VB_N(sum_nchw), VB_N(sum_nhwc)};
