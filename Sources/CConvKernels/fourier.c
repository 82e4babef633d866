// Constants of the Fourier transforms, computed in double and rounded once.
#include <math.h>
#include "kernels.h"

// Where the passes leave frequency k: a radix-4 pass leaves frequencies k % 4 = q in the q-th quarter; a last pass of 2, 4
// or 8 points leaves them in order.
static size_t position(size_t length, size_t k) {
  return k % 4 * (length / 4) + (length / 4 > 8 ? position(length / 4, k / 4) : k / 4);
}

static void twiddles(float *to, size_t length) {
  for (size_t j = 0; j < length / 4; j++) {
    for (size_t q = 1; q < 4; q++) {
      double turn = -2 * M_PI * (double)(q * j % length) / (double)length;
      *to++ = (float)cos(turn);
      *to++ = (float)sin(turn);
    }
  }
}

static int init_axis(vb_fourier_axis *axis, size_t length) {
  if (length != 8 && length != 16 && length != 32 && length != 64) return -1;
  axis->length = (uint32_t)length;
  for (size_t k = 0; k < length; k++) axis->position[k] = (uint8_t)position(length, k);
  twiddles(axis->first, length);
  if (length == 64) twiddles(axis->middle, length / 4);
  return 0;
}

int vb_fourier_init(vb_fourier *fourier, size_t height, size_t width) {
  return init_axis(&fourier->vertical, height) || init_axis(&fourier->horizontal, width) ? -1 : 0;
}

size_t vb_fourier_lanes(const vb_kernels *kernels) {
  return vb_kernels_vector_bytes(kernels ? kernels : vb_kernels_current()) / sizeof(float);
}

size_t vb_fourier_bins(const vb_fourier *fourier) {
  return (size_t)fourier->vertical.length * fourier->horizontal.length / 2 + 2;
}

size_t vb_fourier_work(const vb_kernels *kernels, const vb_fourier *fourier) {
  return fourier->vertical.length * ((size_t)fourier->horizontal.length / 2 + 1) * 2 * vb_fourier_lanes(kernels);
}
