// Fourier transforms across channels for one instruction set. Expects VB_ISA and VB_BYTES (of a vector).
//
// A tile x[i][j] is transformed by rows, then by columns, as complex lines of N = 8, 16, 32 or 64 vectors (J. W. Cooley,
// J. W. Tukey, Math. Comp. 19, 1965; decimation in frequency: W. M. Gentleman, G. Sande, AFIPS 29, 1966):
//   N = 4 M:  y[4 k + q] = DFT_M of (sum over p of x[j + p M] * (-i)^(p q)) * w^(j q),  w = exp(-2 pi i / N),
// in place, which leaves frequency k at `position[k]`; the inverse takes them from there (decimation in time). So there is
// no bit reversal. The passes are 8 = 4*2, 16 = 4*4, 32 = 4*8, 64 = 4*4*4.
//
// Real tiles: rows a, b of one tile and channel are the real and imaginary part of one line Z, whence
//   2 A[u] = Z[u] + conj Z[-u],  2 B[u] = -i (Z[u] - conj Z[-u]),
// columns u = 1 ... width/2 - 1 are complex lines, columns 0 and width/2 are real and form one more line, parted in
// the same way. No two channels, tiles or images ever meet. All bins are twice the spectrum.
//
// Registers (real and imaginary vectors): a radix-4 butterfly holds 8 and 2 to 4 temporaries and twiddles (16 suffice); a
// radix-8 butterfly holds 16 and spills about six of them with 16 registers, still less traffic than one more pass.
#define VB_N(x) VB_JOIN(x, VB_JOIN(_, VB_ISA))
#define VB_VL ((ptrdiff_t)(VB_BYTES / sizeof(float)))
#define VB_INLINE static inline __attribute__((always_inline))

typedef float VB_N(lanes) __attribute__((vector_size(VB_BYTES)));
typedef float VB_N(loose) __attribute__((vector_size(VB_BYTES), aligned(sizeof(float)), may_alias));

typedef struct VB_N(complex) {
  VB_N(lanes) re, im;
} VB_N(complex);

#define VB_C VB_N(complex)

VB_INLINE VB_N(lanes) VB_N(at)(const float *p) { return *(const VB_N(loose) *)p; }
VB_INLINE void VB_N(set)(float *p, VB_N(lanes) x) { *(VB_N(loose) *)p = x; }
VB_INLINE VB_C VB_N(take)(const float *p) { return (VB_C){VB_N(at)(p), VB_N(at)(p + VB_VL)}; }
VB_INLINE void VB_N(put)(float *p, VB_C x) {
  VB_N(set)(p, x.re);
  VB_N(set)(p + VB_VL, x.im);
}
VB_INLINE VB_C VB_N(add)(VB_C a, VB_C b) { return (VB_C){a.re + b.re, a.im + b.im}; }
VB_INLINE VB_C VB_N(sub)(VB_C a, VB_C b) { return (VB_C){a.re - b.re, a.im - b.im}; }
// i * a, and a * (-i) where the direction is forward, a * i where it is inverse.
VB_INLINE VB_C VB_N(turn)(const int inverse, VB_C a) {
  return inverse ? (VB_C){-a.im, a.re} : (VB_C){a.im, -a.re};
}
// a * w, or a * conj(w) where the direction is inverse.
VB_INLINE VB_C VB_N(twist)(const int inverse, VB_C a, const float *w) {
  return inverse ? (VB_C){a.re * w[0] + a.im * w[1], a.im * w[0] - a.re * w[1]}
                 : (VB_C){a.re * w[0] - a.im * w[1], a.im * w[0] + a.re * w[1]};
}

// DFT of four points in order.
VB_INLINE void VB_N(four)(const int inverse, VB_C x[4]) {
  VB_C a = VB_N(add)(x[0], x[2]), b = VB_N(sub)(x[0], x[2]);
  VB_C c = VB_N(add)(x[1], x[3]), d = VB_N(turn)(inverse, VB_N(sub)(x[1], x[3]));
  x[0] = VB_N(add)(a, c);
  x[1] = VB_N(add)(b, d);
  x[2] = VB_N(sub)(a, c);
  x[3] = VB_N(sub)(b, d);
}

// DFT of 2, 4 or 8 points in order, from `in` to `out`, elements `step` floats apart.
VB_INLINE void VB_N(last)(const int inverse, const int points, const float *in, ptrdiff_t in_step, float *out,
                          ptrdiff_t out_step) {
  if (points == 2) {
    VB_C a = VB_N(take)(in), b = VB_N(take)(in + in_step);
    VB_N(put)(out, VB_N(add)(a, b));
    VB_N(put)(out + out_step, VB_N(sub)(a, b));
    return;
  }
  if (points == 4) {
    VB_C x[4];
    VB_UNROLL for (int q = 0; q < 4; q++) x[q] = VB_N(take)(in + q * in_step);
    VB_N(four)(inverse, x);
    VB_UNROLL for (int q = 0; q < 4; q++) VB_N(put)(out + q * out_step, x[q]);
    return;
  }
  const float half = 0.70710678118654752f;
  VB_C even[4], odd[4];
  VB_UNROLL for (int q = 0; q < 4; q++) {
    VB_C a = VB_N(take)(in + q * in_step), b = VB_N(take)(in + (q + 4) * in_step);
    even[q] = VB_N(add)(a, b);
    odd[q] = VB_N(sub)(a, b);
  }
  VB_N(four)(inverse, even);
  VB_UNROLL for (int q = 0; q < 4; q++) VB_N(put)(out + 2 * q * out_step, even[q]);
  VB_C t1 = VB_N(turn)(inverse, odd[1]), t3 = VB_N(turn)(inverse, odd[3]);
  odd[1] = (VB_C){(odd[1].re + t1.re) * half, (odd[1].im + t1.im) * half};
  odd[2] = VB_N(turn)(inverse, odd[2]);
  odd[3] = (VB_C){(t3.re - odd[3].re) * half, (t3.im - odd[3].im) * half};
  VB_N(four)(inverse, odd);
  VB_UNROLL for (int q = 0; q < 4; q++) VB_N(put)(out + (2 * q + 1) * out_step, odd[q]);
}

// One forward radix-4 butterfly of which the first `valid` inputs are not zero.
VB_INLINE void VB_N(split)(const int valid, const float *re, const float *im, ptrdiff_t step, const float *w,
                           const int plain, float *out, ptrdiff_t out_step) {
  VB_C x[4];
  VB_UNROLL for (int q = 0; q < 4; q++)
    if (q < valid) x[q] = (VB_C){VB_N(at)(re + q * step), VB_N(at)(im + q * step)};
  if (valid == 1) {
    x[1] = x[2] = x[3] = x[0];
  } else if (valid == 2) {
    VB_C a = x[0], c = x[1], d = VB_N(turn)(0, c);
    x[0] = VB_N(add)(a, c);
    x[1] = VB_N(add)(a, d);
    x[2] = VB_N(sub)(a, c);
    x[3] = VB_N(sub)(a, d);
  } else {
    if (valid == 3) x[3] = (VB_C){{0}, {0}};
    VB_N(four)(0, x);
  }
  VB_N(put)(out, x[0]);
  VB_UNROLL for (int q = 1; q < 4; q++)
    VB_N(put)(out + q * out_step, plain ? x[q] : VB_N(twist)(0, x[q], w + 2 * (q - 1)));
}

// The complex line re[j * step], im[j * step], j < count, zero from there on, to out[position * out_step]. `line` holds
// `length` complex vectors; it may be `out` where out_step is that of a dense line.
VB_INLINE void VB_N(forward_line)(const int length, const vb_fourier_axis *axis, size_t count, const float *re,
                                  const float *im, ptrdiff_t step, float *line, float *out, ptrdiff_t out_step) {
  const int quarter = length / 4;
  const ptrdiff_t dense = 2 * VB_VL;
  for (int j = 0; j < quarter; j++) {
    int valid = (int)count <= j ? 0 : ((int)count - j + quarter - 1) / quarter;
    const float *w = axis->first + 6 * j, *r = re + j * step, *i = im + j * step;
    float *to = line + j * dense;
    if (valid >= 4) {
      if (j) VB_N(split)(4, r, i, quarter * step, w, 0, to, quarter * dense);
      else VB_N(split)(4, r, i, quarter * step, w, 1, to, quarter * dense);
    } else if (valid == 3) {
      VB_N(split)(3, r, i, quarter * step, w, 0, to, quarter * dense);
    } else if (valid == 2) {
      VB_N(split)(2, r, i, quarter * step, w, 0, to, quarter * dense);
    } else if (valid == 1) {
      VB_N(split)(1, r, i, quarter * step, w, 0, to, quarter * dense);
    } else {
      VB_UNROLL for (int q = 0; q < 4; q++) VB_N(put)(to + q * quarter * dense, (VB_C){{0}, {0}});
    }
  }
  if (length == 64) {
    for (int block = 0; block < 64; block += 16) {
      float *at = line + block * dense;
      VB_N(split)(4, at, at + VB_VL, 4 * dense, axis->middle, 1, at, 4 * dense);
      for (int j = 1; j < 4; j++) {
        float *from = at + j * dense;
        VB_N(split)(4, from, from + VB_VL, 4 * dense, axis->middle + 6 * j, 0, from, 4 * dense);
      }
    }
  }
  const int points = length == 64 ? 4 : quarter;
  for (int block = 0; block < length; block += points)
    VB_N(last)(0, points, line + block * dense, dense, out + block * out_step, out_step);
}

// One inverse radix-4 butterfly.
VB_INLINE void VB_N(join)(const int plain, const float *in, ptrdiff_t step, const float *w, VB_C x[4]) {
  x[0] = VB_N(take)(in);
  VB_UNROLL for (int q = 1; q < 4; q++) {
    x[q] = VB_N(take)(in + q * step);
    if (!plain) x[q] = VB_N(twist)(1, x[q], w + 2 * (q - 1));
  }
  VB_N(four)(1, x);
}

// in[position * in_step] back to re[j * step], im[j * step] for j < count, times `scale` where `scaled`; im may be NULL.
VB_INLINE void VB_N(inverse_line)(const int length, const int scaled, const vb_fourier_axis *axis, const float *in,
                                  ptrdiff_t in_step, float *line, size_t count, float scale, float *re, float *im,
                                  ptrdiff_t step) {
  const int quarter = length / 4;
  const ptrdiff_t dense = 2 * VB_VL;
  const int points = length == 64 ? 4 : quarter;
  for (int block = 0; block < length; block += points)
    VB_N(last)(1, points, in + block * in_step, in_step, line + block * dense, dense);
  if (length == 64) {
    for (int block = 0; block < 64; block += 16) {
      for (int j = 0; j < 4; j++) {
        float *at = line + (block + j) * dense;
        VB_C x[4];
        VB_N(join)(0, at, 4 * dense, axis->middle + 6 * j, x);
        VB_UNROLL for (int q = 0; q < 4; q++) VB_N(put)(at + 4 * q * dense, x[q]);
      }
    }
  }
  for (int j = 0; j < quarter && (size_t)j < count; j++) {
    VB_C x[4];
    if (j) VB_N(join)(0, line + j * dense, quarter * dense, axis->first + 6 * j, x);
    else VB_N(join)(1, line, quarter * dense, axis->first, x);
    VB_UNROLL for (int q = 0; q < 4; q++) {
      if ((size_t)(j + q * quarter) >= count) break;
      VB_N(set)(re + (j + q * quarter) * step, scaled ? x[q].re * scale : x[q].re);
      if (im) VB_N(set)(im + (j + q * quarter) * step, scaled ? x[q].im * scale : x[q].im);
    }
  }
}

#define VB_LINES(LENGTH)                                                                                          \
  static void VB_N(forward_##LENGTH)(const vb_fourier_axis *axis, size_t count, const float *re, const float *im, \
                                     ptrdiff_t step, float *line, float *out, ptrdiff_t out_step) {               \
    VB_N(forward_line)(LENGTH, axis, count, re, im, step, line, out, out_step);                                   \
  }                                                                                                               \
  static void VB_N(inverse_##LENGTH)(const vb_fourier_axis *axis, const float *in, ptrdiff_t in_step, float *line, \
                                     size_t count, float *re, float *im, ptrdiff_t step) {                        \
    VB_N(inverse_line)(LENGTH, 0, axis, in, in_step, line, count, 1, re, im, step);                               \
  }                                                                                                               \
  static void VB_N(finish_##LENGTH)(const vb_fourier_axis *axis, const float *in, float *line, size_t count,      \
                                    float scale, float *re, float *im) {                                          \
    VB_N(inverse_line)(LENGTH, 1, axis, in, 2 * VB_VL, line, count, scale, re, im, VB_VL);                        \
  }
VB_LINES(8)
VB_LINES(16)
VB_LINES(32)
VB_LINES(64)
#undef VB_LINES

static void VB_N(forward_any)(const vb_fourier_axis *axis, size_t count, const float *re, const float *im,
                              ptrdiff_t step, float *line, float *out, ptrdiff_t out_step) {
  switch (axis->length) {
    case 8: VB_N(forward_8)(axis, count, re, im, step, line, out, out_step); return;
    case 16: VB_N(forward_16)(axis, count, re, im, step, line, out, out_step); return;
    case 32: VB_N(forward_32)(axis, count, re, im, step, line, out, out_step); return;
    default: VB_N(forward_64)(axis, count, re, im, step, line, out, out_step); return;
  }
}

static void VB_N(inverse_any)(const vb_fourier_axis *axis, const float *in, ptrdiff_t in_step, float *line,
                              size_t count, float *re, float *im, ptrdiff_t step) {
  switch (axis->length) {
    case 8: VB_N(inverse_8)(axis, in, in_step, line, count, re, im, step); return;
    case 16: VB_N(inverse_16)(axis, in, in_step, line, count, re, im, step); return;
    case 32: VB_N(inverse_32)(axis, in, in_step, line, count, re, im, step); return;
    default: VB_N(inverse_64)(axis, in, in_step, line, count, re, im, step); return;
  }
}

static void VB_N(finish_any)(const vb_fourier_axis *axis, const float *in, float *line, size_t count, float scale,
                             float *re, float *im) {
  switch (axis->length) {
    case 8: VB_N(finish_8)(axis, in, line, count, scale, re, im); return;
    case 16: VB_N(finish_16)(axis, in, line, count, scale, re, im); return;
    case 32: VB_N(finish_32)(axis, in, line, count, scale, re, im); return;
    default: VB_N(finish_64)(axis, in, line, count, scale, re, im); return;
  }
}

// Z[u], Z[-u] of two Hermitian spectra a, b: 2 A = Z[u] + conj Z[-u], 2 B = -i (Z[u] - conj Z[-u]).
VB_INLINE void VB_N(part)(VB_C z, VB_C mirrored, float *a, float *b) {
  VB_N(put)(a, (VB_C){z.re + mirrored.re, z.im - mirrored.im});
  VB_N(put)(b, (VB_C){z.im + mirrored.im, mirrored.re - z.re});
}

// Z[u] = A + i B, Z[-u] = conj A + i conj B.
VB_INLINE void VB_N(unite)(VB_C a, VB_C b, float *z, float *mirrored) {
  VB_N(put)(z, (VB_C){a.re - b.im, a.im + b.re});
  VB_N(put)(mirrored, (VB_C){a.re + b.im, b.re - a.im});
}

static void VB_N(forward)(const vb_fourier *fourier, size_t rows, size_t columns, const float *in, ptrdiff_t in_row,
                          float *work, float *out, ptrdiff_t out_bin) {
  const vb_fourier_axis *vertical = &fourier->vertical, *horizontal = &fourier->horizontal;
  const ptrdiff_t height = vertical->length, width = horizontal->length, dense = 2 * VB_VL;
  // One vector more than a row: columns of a power of two would share one cache set.
  const ptrdiff_t pitch = (width / 2 + 1) * dense;
  float line[VB_FOURIER_MAX * 2 * VB_BYTES / sizeof(float)] __attribute__((aligned(VB_BYTES)));
  static const float zeros[VB_FOURIER_MAX * VB_BYTES / sizeof(float)] __attribute__((aligned(VB_BYTES)));
  for (size_t i = 0; i < rows; i += 2) {
    const float *a = in + (ptrdiff_t)i * in_row, *b = i + 1 < rows ? a + in_row : zeros;
    VB_N(forward_any)(horizontal, columns, a, b, VB_VL, line, line, dense);
    float *first = work + (ptrdiff_t)i * pitch, *second = first + pitch;
    VB_C zero = VB_N(take)(line), middle = VB_N(take)(line + horizontal->position[width / 2] * dense);
    VB_N(put)(first, (VB_C){zero.re, middle.re});
    VB_N(put)(second, (VB_C){zero.im, middle.im});
    for (ptrdiff_t u = 1; u < width / 2; u++)
      VB_N(part)(VB_N(take)(line + horizontal->position[u] * dense),
                 VB_N(take)(line + horizontal->position[width - u] * dense), first + u * dense, second + u * dense);
  }
  // The last row of an odd number has an empty partner, which is within the tile.
  VB_N(forward_any)(vertical, rows, work, work + VB_VL, pitch, line, line, dense);
  float *left = out, *right = out + (height / 2 + 1) * out_bin;
  for (ptrdiff_t v = 0; v <= height / 2; v++)
    VB_N(part)(VB_N(take)(line + vertical->position[v] * dense),
               VB_N(take)(line + vertical->position[(height - v) % height] * dense), left + v * out_bin,
               right + v * out_bin);
  out += (height + 2) * out_bin;
  for (ptrdiff_t u = 1; u < width / 2; u++, out += height * out_bin)
    VB_N(forward_any)(vertical, rows, work + u * dense, work + u * dense + VB_VL, pitch, line, out, out_bin);
}

static void VB_N(inverse)(const vb_fourier *fourier, size_t rows, size_t columns, float scale, const float *in,
                          ptrdiff_t in_bin, float *work, float *out, ptrdiff_t out_row) {
  const vb_fourier_axis *vertical = &fourier->vertical, *horizontal = &fourier->horizontal;
  const ptrdiff_t height = vertical->length, width = horizontal->length, dense = 2 * VB_VL;
  const ptrdiff_t pitch = (width / 2 + 1) * dense;
  float line[VB_FOURIER_MAX * 2 * VB_BYTES / sizeof(float)] __attribute__((aligned(VB_BYTES)));
  float spectrum[VB_FOURIER_MAX * 2 * VB_BYTES / sizeof(float)] __attribute__((aligned(VB_BYTES)));
  // Rows are made in pairs; heights are even, so that the partner of the last row exists.
  const size_t pairs = (rows + 1) / 2 * 2;
  const float *left = in, *right = in + (height / 2 + 1) * in_bin;
  for (ptrdiff_t v = 0; v <= height / 2; v++)
    VB_N(unite)(VB_N(take)(left + v * in_bin), VB_N(take)(right + v * in_bin),
                spectrum + vertical->position[v] * dense,
                spectrum + vertical->position[(height - v) % height] * dense);
  VB_N(inverse_any)(vertical, spectrum, dense, line, pairs, work, work + VB_VL, pitch);
  in += (height + 2) * in_bin;
  for (ptrdiff_t u = 1; u < width / 2; u++, in += height * in_bin)
    VB_N(inverse_any)(vertical, in, in_bin, line, pairs, work + u * dense, work + u * dense + VB_VL, pitch);
  for (size_t i = 0; i < rows; i += 2) {
    const float *first = work + (ptrdiff_t)i * pitch, *second = first + pitch;
    VB_C a = VB_N(take)(first), b = VB_N(take)(second);
    VB_N(put)(spectrum, (VB_C){a.re, b.re});
    VB_N(put)(spectrum + horizontal->position[width / 2] * dense, (VB_C){a.im, b.im});
    for (ptrdiff_t u = 1; u < width / 2; u++)
      VB_N(unite)(VB_N(take)(first + u * dense), VB_N(take)(second + u * dense),
                  spectrum + horizontal->position[u] * dense, spectrum + horizontal->position[width - u] * dense);
    float *to = out + (ptrdiff_t)i * out_row;
    VB_N(finish_any)(horizontal, spectrum, line, columns, scale, to, i + 1 < rows ? to + out_row : 0);
  }
}

static void VB_N(load)(size_t pixels, size_t lanes, const float *in, ptrdiff_t in_pixel, float *out) {
  if (lanes == (size_t)VB_VL) {
    for (size_t i = 0; i < pixels; i++, in += in_pixel, out += VB_VL) VB_N(set)(out, VB_N(at)(in));
    return;
  }
  for (size_t i = 0; i < pixels; i++, in += in_pixel, out += VB_VL) {
    for (size_t l = 0; l < lanes; l++) out[l] = in[l];
    for (size_t l = lanes; l < (size_t)VB_VL; l++) out[l] = 0;
  }
}

static void VB_N(store)(size_t pixels, size_t lanes, const float *in, float *out, ptrdiff_t out_pixel) {
  if (lanes == (size_t)VB_VL) {
    for (size_t i = 0; i < pixels; i++, in += VB_VL, out += out_pixel) VB_N(set)(out, VB_N(at)(in));
    return;
  }
  for (size_t i = 0; i < pixels; i++, in += VB_VL, out += out_pixel)
    for (size_t l = 0; l < lanes; l++) out[l] = in[l];
}

static void VB_N(reverse)(size_t pixels, float *strip) {
  if (!pixels) return;
  for (float *a = strip, *b = strip + (ptrdiff_t)(pixels - 1) * VB_VL; a < b; a += VB_VL, b -= VB_VL) {
    VB_N(lanes) held = VB_N(at)(a);
    VB_N(set)(a, VB_N(at)(b));
    VB_N(set)(b, held);
  }
}

const vb_fourier_table VB_N(vb_fourier) = {VB_N(forward), VB_N(inverse), VB_N(load), VB_N(store), VB_N(reverse)};

#undef VB_C
#undef VB_INLINE
#undef VB_N
#undef VB_VL
