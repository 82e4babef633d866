// Products of spectral matrices (vb_fourier.h), one complex matrix product per frequency bin.
#pragma once
#include <stddef.h>
#include "vb_isa.h"

/// A spectral matrix; strides in floats.
typedef struct vb_spectral {
  float *base;
  ptrdiff_t bin, block;
} vb_spectral;

/// For each of `bins` bins C[m x n] (+)= A[m x k] * conj(B[k x n]), complex.
///
/// With transpose_a, A is stored [k x m]. m, k are rows or channels of the matrices, n is `blocks` whole blocks of
/// channels. The sum over k of one element is taken in order with one accumulator, which begins with C where `accumulate`:
/// cutting m, n, k or the bins into several calls changes no bit.
void vb_spectral_product_f32(const vb_kernels *kernels, size_t bins, size_t m, size_t blocks, size_t k, vb_spectral a,
                             int transpose_a, vb_spectral b, vb_spectral c, int accumulate);
