// Complex matrix products per frequency bin for one instruction set. Expects VB_ISA, VB_BYTES (of a vector), VB_MR and VB_NV
// (rows and blocks of channels of the micro-tile) and VB_FEW (rows up to which two blocks fit where VB_NV is 1).
//
//   C[i][j] (+)= sum over p of A[i][p] * conj(B[p][j]):
//   re += ar * br + ai * bi,   im += ai * br - ar * bi
// with real and imaginary parts of B in vectors of their own, A's broadcast: four fused multiply-adds per product.
//
// Registers of VB_MR x VB_NV: 2 MR NV accumulators, 2 NV of B, 2 broadcasts. AVX-512: 6 x 2 = 24 + 4 + 2 of 32. AVX2: 6 x 1 =
// 12 + 2 + 2 of 16; baseline (SSE2, no fused form, products need temporaries): 4 x 1 = 8 + 2 + 2 + 3 of 16. One or two
// rows alone would wait for their own sums, so with 16 registers they take two blocks at once: 2 x 2 = 8 + 4 + 2.
#define VB_N(x) VB_JOIN(x, VB_JOIN(_, VB_ISA))
#define VB_VL ((size_t)(VB_BYTES / sizeof(float)))
// Terms of the sum that are done for all of C before the next ones: a piece of B's block stays in the L1 cache.
#define VB_DEPTH ((size_t)128)

typedef float VB_N(lanes) __attribute__((vector_size(VB_BYTES)));
typedef float VB_N(loose) __attribute__((vector_size(VB_BYTES), aligned(sizeof(float)), may_alias));

// One term for all rows: `a_row` is where row i's real part lies, VB_VL further lies its imaginary part.
#define VB_TERM(a_row)                                                                            \
  {                                                                                               \
    VB_N(lanes) br[2], bi[2];                                                                     \
    VB_UNROLL for (int j = 0; j < nv; j++) {                                                      \
      br[j] = *(const VB_N(loose) *)(b + j * b_block);                                            \
      bi[j] = *(const VB_N(loose) *)(b + j * b_block + VB_VL);                                    \
    }                                                                                             \
    b += 2 * VB_VL;                                                                               \
    VB_UNROLL for (int i = 0; i < mr; i++) {                                                      \
      const float *at = (a_row);                                                                  \
      VB_N(lanes) ar = at[0] - (VB_N(lanes)){0}, ai = at[VB_VL] - (VB_N(lanes)){0};               \
      VB_UNROLL for (int j = 0; j < nv; j++) {                                                    \
        re[i][j] += ar * br[j];                                                                   \
        im[i][j] += ai * br[j];                                                                   \
        re[i][j] += ai * bi[j];                                                                   \
        im[i][j] -= ar * bi[j];                                                                   \
      }                                                                                           \
    }                                                                                             \
  }

// One tile of C. Rows of C are 2 VL apart. Not transposed: `a` is row 0 of a block of A. Transposed: `row` are the places
// of the tile's channels in row 0 of A.
static inline __attribute__((always_inline)) void VB_N(tile)(const int mr, const int nv, const int transposed, size_t k,
                                                             const float *a, ptrdiff_t a_block,
                                                             const float *const *row, const float *b,
                                                             ptrdiff_t b_block, float *c, ptrdiff_t c_block, int load) {
  VB_N(lanes) re[VB_MR][2], im[VB_MR][2];
  if (load) {
    VB_UNROLL for (int i = 0; i < mr; i++) VB_UNROLL for (int j = 0; j < nv; j++) {
      const float *from = c + j * c_block + i * 2 * VB_VL;
      re[i][j] = *(const VB_N(loose) *)from;
      im[i][j] = *(const VB_N(loose) *)(from + VB_VL);
    }
  } else {
    VB_UNROLL for (int i = 0; i < mr; i++)
      VB_UNROLL for (int j = 0; j < nv; j++) re[i][j] = im[i][j] = (VB_N(lanes)){0};
  }
  if (transposed) {
    for (size_t p = 0; p < k; p++) VB_TERM(row[i] + p * 2 * VB_VL)
  } else {
    // One loop, not one per block of channels: nested ones make clang spill accumulators between them.
    for (size_t p = 0; p < k; p++) {
      VB_TERM(a + i * 2 * VB_VL)
      a += (p + 1) % VB_VL ? 1 : a_block - (ptrdiff_t)VB_VL + 1;
    }
  }
  VB_UNROLL for (int i = 0; i < mr; i++) VB_UNROLL for (int j = 0; j < nv; j++) {
    float *to = c + j * c_block + i * 2 * VB_VL;
    *(VB_N(loose) *)to = re[i][j];
    *(VB_N(loose) *)(to + VB_VL) = im[i][j];
  }
}

typedef void (*VB_N(kernel))(size_t k, const float *a, ptrdiff_t a_block, const float *const *row, const float *b,
                             ptrdiff_t b_block, float *c, ptrdiff_t c_block, int load);

#define VB_KERNEL(MR, NV)                                                                                           \
  static void VB_N(plain_##MR##_##NV)(size_t k, const float *a, ptrdiff_t a_block, const float *const *row,         \
                                      const float *b, ptrdiff_t b_block, float *c, ptrdiff_t c_block, int load) {   \
    VB_N(tile)(MR, NV, 0, k, a, a_block, row, b, b_block, c, c_block, load);                                        \
  }                                                                                                                 \
  static void VB_N(turned_##MR##_##NV)(size_t k, const float *a, ptrdiff_t a_block, const float *const *row,        \
                                       const float *b, ptrdiff_t b_block, float *c, ptrdiff_t c_block, int load) {  \
    VB_N(tile)(MR, NV, 1, k, a, a_block, row, b, b_block, c, c_block, load);                                        \
  }
#define VB_PAIR(KIND, MR) {VB_N(KIND##_##MR##_1), VB_N(KIND##_##MR##_2)}
#define VB_ONE(KIND, MR) {VB_N(KIND##_##MR##_1), 0}
VB_KERNEL(1, 1)
VB_KERNEL(2, 1)
VB_KERNEL(3, 1)
VB_KERNEL(4, 1)
VB_KERNEL(1, 2)
VB_KERNEL(2, 2)
#if VB_MR == 6
VB_KERNEL(5, 1)
VB_KERNEL(6, 1)
#endif
#if VB_NV == 2
VB_KERNEL(3, 2)
VB_KERNEL(4, 2)
VB_KERNEL(5, 2)
VB_KERNEL(6, 2)
#define VB_TABLE(KIND)                                                                                         \
  {VB_PAIR(KIND, 1), VB_PAIR(KIND, 2), VB_PAIR(KIND, 3), VB_PAIR(KIND, 4), VB_PAIR(KIND, 5), VB_PAIR(KIND, 6)}
#elif VB_MR == 6
#define VB_TABLE(KIND)                                                                                     \
  {VB_PAIR(KIND, 1), VB_PAIR(KIND, 2), VB_ONE(KIND, 3), VB_ONE(KIND, 4), VB_ONE(KIND, 5), VB_ONE(KIND, 6)}
#else
#define VB_TABLE(KIND) {VB_PAIR(KIND, 1), VB_PAIR(KIND, 2), VB_ONE(KIND, 3), VB_ONE(KIND, 4)}
#endif
static const VB_N(kernel) VB_N(kernels)[2][VB_MR][2] = {VB_TABLE(plain), VB_TABLE(turned)};

static void VB_N(product)(size_t bins, size_t m, size_t blocks, size_t k, vb_spectral a, int transpose_a,
                          vb_spectral b, vb_spectral c, int accumulate) {
  if (!m || !blocks) return;
  // Tiles of nearly equal height: six and one would leave the one waiting for its own sums.
  const size_t tiles = (m + VB_MR - 1) / VB_MR;
  for (size_t f = 0; f < bins; f++) {
    const float *a_bin = a.base + (ptrdiff_t)f * a.bin, *b_bin = b.base + (ptrdiff_t)f * b.bin;
    float *c_bin = c.base + (ptrdiff_t)f * c.bin;
    size_t p = 0;
    do {
      const size_t depth = k - p < VB_DEPTH ? k - p : VB_DEPTH;
      const float *a_part = transpose_a ? a_bin + p * 2 * VB_VL : a_bin + (ptrdiff_t)(p / VB_VL) * a.block;
      for (size_t j = 0; j < blocks;) {
        const size_t first = (m + tiles - 1) / tiles;
        const size_t nv = blocks - j >= 2 && (VB_NV == 2 || first <= VB_FEW) ? 2 : 1;
        const float *b_part = b_bin + (ptrdiff_t)j * b.block + p * 2 * VB_VL;
        for (size_t t = 0, i = 0; t < tiles; t++) {
          const size_t mr = (m - i + tiles - t - 1) / (tiles - t);
          const float *row[VB_MR];
          if (transpose_a)
            for (size_t r = 0; r < mr; r++) row[r] = a_part + (ptrdiff_t)((i + r) / VB_VL) * a.block + (i + r) % VB_VL;
          VB_N(kernels)[transpose_a][mr - 1][nv - 1](depth, a_part + i * 2 * VB_VL, a.block, row, b_part, b.block,
                                                     c_bin + (ptrdiff_t)j * c.block + i * 2 * VB_VL, c.block,
                                                     accumulate || p);
          i += mr;
        }
        j += nv;
      }
      p += depth;
    } while (p < k);
  }
}

const vb_spectral_table VB_N(vb_spectral) = {VB_N(product)};

#undef VB_N
#undef VB_VL
#undef VB_DEPTH
#undef VB_TERM
#undef VB_KERNEL
#undef VB_PAIR
#undef VB_ONE
#undef VB_TABLE
