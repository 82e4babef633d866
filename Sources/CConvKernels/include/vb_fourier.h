// Two-dimensional discrete Fourier transforms of real tiles, vectorised across channels: one SIMD lane is one channel.
//
// A *spectral matrix* holds, for each frequency bin, a complex matrix of rows x channels in blocks of as many channels as
// a vector has lanes: element (row, channel) of bin f is two floats, real and imaginary,
//   at  f * bin + channel / lanes * block + row * 2 * lanes + channel % lanes  and `lanes` further.
// Tiles are real, so only half of their spectrum is stored: height * width / 2 + 2 bins, in an order of our own that all
// transforms of one size share.
#pragma once
#include <stddef.h>
#include <stdint.h>
#include "vb_isa.h"

enum { VB_FOURIER_MAX = 64 };  ///< largest length of an axis

/// One axis of a tile: 8, 16, 32 or 64 samples.
typedef struct vb_fourier_axis {
  uint32_t length;
  uint8_t position[VB_FOURIER_MAX];          ///< where the passes leave frequency k
  float first[6 * VB_FOURIER_MAX / 4];       ///< w^j, w^2j, w^3j for j < length / 4, w = exp(-2 pi i / length)
  float middle[6 * VB_FOURIER_MAX / 16];     ///< the same for length / 4, of the length 64
} vb_fourier_axis;

/// The constants of a tile's transform.
typedef struct vb_fourier {
  vb_fourier_axis vertical, horizontal;
} vb_fourier;

/// Fills in the constants. Returns 0, or -1 when a side is not 8, 16, 32 or 64.
int vb_fourier_init(vb_fourier *fourier, size_t height, size_t width);

/// Channels that a transform takes at once: floats of a vector.
size_t vb_fourier_lanes(const vb_kernels *kernels);

/// Bins of a tile: height * width / 2 + 2.
size_t vb_fourier_bins(const vb_fourier *fourier);

/// Floats of working memory that a transform needs.
size_t vb_fourier_work(const vb_kernels *kernels, const vb_fourier *fourier);

/// Twice the spectrum of one block of channels: of the real tile in[i * in_row + j * lanes + lane], i < rows, j < columns,
/// zero elsewhere. Bin f goes to out[f * out_bin], real parts, and `lanes` further, imaginary parts.
void vb_fourier_forward_f32(const vb_kernels *kernels, const vb_fourier *fourier, size_t rows, size_t columns,
                            const float *in, ptrdiff_t in_row, float *work, float *out, ptrdiff_t out_bin);

/// The first rows x columns samples of `scale` * height * width times the tile whose spectrum is `in`.
void vb_fourier_inverse_f32(const vb_kernels *kernels, const vb_fourier *fourier, size_t rows, size_t columns,
                            float scale, const float *in, ptrdiff_t in_bin, float *work, float *out, ptrdiff_t out_row);

/// A strip of pixels from channel-last memory: out[i * vector + l] = in[i * in_pixel + l] for l < lanes, 0 in the vector's
/// other lanes.
void vb_lanes_load_f32(const vb_kernels *kernels, size_t pixels, size_t lanes, const float *in, ptrdiff_t in_pixel,
                       float *out);

/// The way back: out[i * out_pixel + l] = in[i * vector + l] for l < lanes.
void vb_lanes_store_f32(const vb_kernels *kernels, size_t pixels, size_t lanes, const float *in, float *out,
                        ptrdiff_t out_pixel);

/// The pixels of a strip in reverse order, in place.
void vb_lanes_reverse_f32(const vb_kernels *kernels, size_t pixels, float *strip);
