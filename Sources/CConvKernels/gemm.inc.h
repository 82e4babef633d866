// GEMM for one instruction set and one element type. Expects VB_ISA (suffix), VB_T, VB_S (f32, f64), VB_BYTES (of a
// vector), VB_MR and VB_NV (rows, vectors of the micro-tile). Undefines VB_T and VB_S for the next inclusion.
#define VB_N(x) VB_JOIN(x, VB_JOIN(_, VB_JOIN(VB_S, VB_JOIN(_, VB_ISA))))
#define VB_VL (VB_BYTES / sizeof(VB_T))
#define VB_NR (VB_VL * VB_NV)
// Block sizes: a tile of A [MR x KC] lives in L1, a panel of B [KC x NR] and a block of A [MC x KC] in L2.
#define VB_KC ((size_t)384)
#define VB_MC ((size_t)(768 / sizeof(VB_T)) / VB_MR * VB_MR)
#define VB_NC ((size_t)(2048 / sizeof(VB_T)) / VB_NR * VB_NR)

typedef VB_T VB_N(vector) __attribute__((vector_size(VB_BYTES)));
typedef VB_T VB_N(loose) __attribute__((vector_size(VB_BYTES), aligned(sizeof(VB_T)), may_alias));

// One tile: C[mr x width] = or += A[mr x kc] * B[kc x width], width <= nv vectors of which the last may be partial.
// Element (i, p) of A is a[i * rs + p * ks]. mr, nv are literals, so that every loop over them unrolls.
static inline __attribute__((always_inline)) void VB_N(tile)(const int mr, const int nv, size_t kc, const VB_T *a,
                                                             size_t rs, size_t ks, const VB_T *b, size_t ldb,
                                                             VB_T *c, size_t ldc, int load, size_t width) {
  VB_N(vector) sum[VB_MR][VB_NV];
  VB_UNROLL for (int i = 0; i < mr; i++) VB_UNROLL for (int j = 0; j < nv; j++) sum[i][j] = (VB_N(vector)){0};
  for (size_t p = 0; p < kc; p++) {
    VB_N(vector) row[VB_NV];
    VB_UNROLL for (int j = 0; j < nv; j++) row[j] = *(const VB_N(loose) *)(b + j * VB_VL);
    VB_UNROLL for (int i = 0; i < mr; i++) {
      VB_N(vector) x = a[i * rs] - (VB_N(vector)){0};
      VB_UNROLL for (int j = 0; j < nv; j++) sum[i][j] += x * row[j];
    }
    a += ks;
    b += ldb;
  }
  if (width == nv * VB_VL) {
    VB_UNROLL for (int i = 0; i < mr; i++) {
      VB_UNROLL for (int j = 0; j < nv; j++) {
        VB_N(loose) *out = (VB_N(loose) *)(c + i * ldc + j * VB_VL);
        *out = load ? *out + sum[i][j] : sum[i][j];
      }
    }
    return;
  }
  size_t rest = width - (nv - 1) * VB_VL;
  VB_UNROLL for (int i = 0; i < mr; i++) {
    VB_UNROLL for (int j = 0; j < nv - 1; j++) {
      VB_N(loose) *out = (VB_N(loose) *)(c + i * ldc + j * VB_VL);
      *out = load ? *out + sum[i][j] : sum[i][j];
    }
    VB_N(vector) last = sum[i][nv - 1];
    VB_T lane[VB_VL];
    *(VB_N(loose) *)lane = last;
    VB_T *out = c + i * ldc + (nv - 1) * VB_VL;
    for (size_t l = 0; l < rest; l++) out[l] = load ? out[l] + lane[l] : lane[l];
  }
}

typedef void (*VB_N(kernel))(size_t kc, const VB_T *a, size_t stride, const VB_T *b, size_t ldb, VB_T *c, size_t ldc,
                             int load, size_t width);

// rows_*: A in place, rows `stride` apart. columns_*: A transposed or packed, columns `stride` apart.
#define VB_KERNEL(MR, NV)                                                                                       \
  static void VB_N(rows_##MR##_##NV)(size_t kc, const VB_T *a, size_t stride, const VB_T *b, size_t ldb, VB_T *c, \
                                     size_t ldc, int load, size_t width) {                                      \
    VB_N(tile)(MR, NV, kc, a, stride, 1, b, ldb, c, ldc, load, width);                                          \
  }                                                                                                             \
  static void VB_N(columns_##MR##_##NV)(size_t kc, const VB_T *a, size_t stride, const VB_T *b, size_t ldb,     \
                                        VB_T *c, size_t ldc, int load, size_t width) {                          \
    VB_N(tile)(MR, NV, kc, a, 1, stride, b, ldb, c, ldc, load, width);                                          \
  }
#if VB_NV == 4
#define VB_KERNELS(MR) VB_KERNEL(MR, 1) VB_KERNEL(MR, 2) VB_KERNEL(MR, 3) VB_KERNEL(MR, 4)
#define VB_ROW(KIND, MR) {VB_N(KIND##_##MR##_1), VB_N(KIND##_##MR##_2), VB_N(KIND##_##MR##_3), VB_N(KIND##_##MR##_4)}
#else
#define VB_KERNELS(MR) VB_KERNEL(MR, 1) VB_KERNEL(MR, 2)
#define VB_ROW(KIND, MR) {VB_N(KIND##_##MR##_1), VB_N(KIND##_##MR##_2)}
#endif
VB_KERNELS(1)
VB_KERNELS(2)
VB_KERNELS(3)
VB_KERNELS(4)
#if VB_MR == 6
VB_KERNELS(5)
VB_KERNELS(6)
#define VB_TABLE(KIND) \
  {VB_ROW(KIND, 1), VB_ROW(KIND, 2), VB_ROW(KIND, 3), VB_ROW(KIND, 4), VB_ROW(KIND, 5), VB_ROW(KIND, 6)}
#else
#define VB_TABLE(KIND) {VB_ROW(KIND, 1), VB_ROW(KIND, 2), VB_ROW(KIND, 3), VB_ROW(KIND, 4)}
#endif
static const VB_N(kernel) VB_N(kernels)[2][VB_MR][VB_NV] = {VB_TABLE(rows), VB_TABLE(columns)};

// Length of the next block of the sum over k: even blocks of at most KC, a function of k alone.
static size_t VB_N(block)(size_t k) {
  size_t blocks = (k + VB_KC - 1) / VB_KC;
  return (k + blocks - 1) / blocks;
}

#define VB_PICK(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
typedef VB_T VB_N(quad) __attribute__((vector_size(4 * sizeof(VB_T)), aligned(sizeof(VB_T)), may_alias));

static inline __attribute__((always_inline)) void VB_N(transpose_4x4)(const VB_T *s, size_t lds, VB_T *t, size_t ldt) {
  VB_N(quad) a = *(const VB_N(quad) *)s, b = *(const VB_N(quad) *)(s + lds);
  VB_N(quad) c = *(const VB_N(quad) *)(s + 2 * lds), d = *(const VB_N(quad) *)(s + 3 * lds);
  VB_N(quad) ab0 = VB_PICK(a, b, 0, 4, 1, 5), ab1 = VB_PICK(a, b, 2, 6, 3, 7);
  VB_N(quad) cd0 = VB_PICK(c, d, 0, 4, 1, 5), cd1 = VB_PICK(c, d, 2, 6, 3, 7);
  *(VB_N(quad) *)t = VB_PICK(ab0, cd0, 0, 1, 4, 5);
  *(VB_N(quad) *)(t + ldt) = VB_PICK(ab0, cd0, 2, 3, 6, 7);
  *(VB_N(quad) *)(t + 2 * ldt) = VB_PICK(ab1, cd1, 0, 1, 4, 5);
  *(VB_N(quad) *)(t + 3 * ldt) = VB_PICK(ab1, cd1, 2, 3, 6, 7);
}

// 8 x 8 in three steps: pairs of elements, pairs of pairs, halves of vectors.
#if VB_BYTES >= 32
typedef VB_T VB_N(oct) __attribute__((vector_size(8 * sizeof(VB_T)), aligned(sizeof(VB_T)), may_alias));

static inline __attribute__((always_inline)) void VB_N(transpose_8x8)(const VB_T *s, size_t lds, VB_T *t, size_t ldt) {
  VB_N(oct) row[8], pair[8], four[8];
  VB_UNROLL for (int i = 0; i < 8; i++) row[i] = *(const VB_N(oct) *)(s + i * lds);
  VB_UNROLL for (int i = 0; i < 8; i += 2) {
    pair[i] = VB_PICK(row[i], row[i + 1], 0, 8, 1, 9, 4, 12, 5, 13);
    pair[i + 1] = VB_PICK(row[i], row[i + 1], 2, 10, 3, 11, 6, 14, 7, 15);
  }
  VB_UNROLL for (int i = 0; i < 8; i += 4) VB_UNROLL for (int j = 0; j < 2; j++) {
    four[i + 2 * j] = VB_PICK(pair[i + j], pair[i + j + 2], 0, 1, 8, 9, 4, 5, 12, 13);
    four[i + 2 * j + 1] = VB_PICK(pair[i + j], pair[i + j + 2], 2, 3, 10, 11, 6, 7, 14, 15);
  }
  VB_UNROLL for (int j = 0; j < 4; j++) {
    *(VB_N(oct) *)(t + j * ldt) = VB_PICK(four[j], four[j + 4], 0, 1, 2, 3, 8, 9, 10, 11);
    *(VB_N(oct) *)(t + (j + 4) * ldt) = VB_PICK(four[j], four[j + 4], 4, 5, 6, 7, 12, 13, 14, 15);
  }
}
#endif

// Whole blocks through registers; the edges one by one.
static void VB_N(transpose)(size_t rows, size_t columns, const VB_T *source, size_t lds, VB_T *target, size_t ldt) {
  size_t i = 0;
#if VB_BYTES >= 32
  if (sizeof(VB_T) == 4) {
    for (; i + 8 <= rows; i += 8) {
      const VB_T *s = source + i * lds;
      VB_T *t = target + i;
      size_t j = 0;
      for (; j + 8 <= columns; j += 8) VB_N(transpose_8x8)(s + j, lds, t + j * ldt, ldt);
      for (; j + 4 <= columns; j += 4) {
        VB_N(transpose_4x4)(s + j, lds, t + j * ldt, ldt);
        VB_N(transpose_4x4)(s + 4 * lds + j, lds, t + j * ldt + 4, ldt);
      }
      for (; j < columns; j++)
        for (size_t e = 0; e < 8; e++) t[j * ldt + e] = s[e * lds + j];
    }
  }
#endif
  for (; i + 4 <= rows; i += 4) {
    const VB_T *s = source + i * lds;
    VB_T *t = target + i;
    size_t j = 0;
    for (; j + 4 <= columns; j += 4) VB_N(transpose_4x4)(s + j, lds, t + j * ldt, ldt);
    for (; j < columns; j++)
      for (size_t e = 0; e < 4; e++) t[j * ldt + e] = s[e * lds + j];
  }
  for (; i < rows; i++)
    for (size_t j = 0; j < columns; j++) target[j * ldt + i] = source[i * lds + j];
}
#undef VB_PICK

// Columns [0, width) of op(B)[k x width] into one panel [k][NR], padded with zeros.
static void VB_N(pack_panel)(size_t k, size_t width, const VB_T *b, size_t ldb, int transpose_b, VB_T *panel) {
  if (transpose_b) VB_N(transpose)(width, k, b, ldb, panel, VB_NR);
  if (width == VB_NR) {
    if (transpose_b) return;
    for (size_t p = 0; p < k; p++)
      VB_UNROLL for (int j = 0; j < VB_NV; j++)
        *(VB_N(loose) *)(panel + p * VB_NR + j * VB_VL) = *(const VB_N(loose) *)(b + p * ldb + j * VB_VL);
    return;
  }
  for (size_t p = 0; p < k; p++) {
    VB_T *to = panel + p * VB_NR;
    if (!transpose_b)
      for (size_t j = 0; j < width; j++) to[j] = b[p * ldb + j];
    for (size_t j = width; j < VB_NR; j++) to[j] = 0;
  }
}

static void VB_N(pack_b)(size_t k, size_t n, const VB_T *b, size_t ldb, int transpose_b, VB_T *packed) {
  for (size_t j = 0; j < n; j += VB_NR)
    VB_N(pack_panel)(k, n - j < VB_NR ? n - j : VB_NR, transpose_b ? b + j * ldb : b + j, ldb, transpose_b,
                     packed + j * k);
}

// Rows [0, m) of Aᵀ, stored [kc x m], into tiles [kc][MR]; the last tile is as wide as it has rows.
static void VB_N(pack_a)(size_t m, size_t kc, const VB_T *a, size_t lda, VB_T *packed) {
  size_t whole = m / VB_MR * VB_MR, rest = m - whole;
  for (size_t p = 0; p < kc; p++) {
    const VB_T *from = a + p * lda;
    for (size_t i = 0; i < whole; i += VB_MR)
      VB_UNROLL for (size_t e = 0; e < VB_MR; e++) packed[i * kc + p * VB_MR + e] = from[i + e];
    for (size_t e = 0; e < rest; e++) packed[whole * kc + p * rest + e] = from[whole + e];
  }
}

// C[m x n] = or += A[m x kc] * panels, for one block of k and at most MC rows. `panel_stride` is the distance
// between panels. Tiles of packed A when `packed_a`.
static void VB_N(block_product)(size_t m, size_t n, size_t kc, const VB_T *a, size_t lda, int transpose_a,
                                int packed_a, const VB_T *panels, size_t panel_stride, size_t ldb, VB_T *c,
                                size_t ldc, int load) {
  for (size_t j = 0; j < n; j += VB_NR, panels += panel_stride) {
    size_t width = n - j < VB_NR ? n - j : VB_NR, nv = (width + VB_VL - 1) / VB_VL;
    for (size_t i = 0; i < m; i += VB_MR) {
      size_t mr = m - i < VB_MR ? m - i : VB_MR;
      const VB_T *tile = packed_a ? a + i * kc : transpose_a ? a + i : a + i * lda;
      VB_N(kernels)[transpose_a][mr - 1][nv - 1](kc, tile, packed_a ? mr : lda, panels, ldb, c + i * ldc + j, ldc,
                                                 load, width);
    }
  }
}

static void VB_N(clear)(size_t m, size_t n, VB_T *c, size_t ldc) {
  for (size_t i = 0; i < m; i++)
    for (size_t j = 0; j < n; j++) c[i * ldc + j] = 0;
}

static int VB_N(gemm_packed)(size_t m, size_t n, size_t k, const VB_T *a, size_t lda, int transpose_a,
                             const VB_T *packed, VB_T *c, size_t ldc, int accumulate) {
  if (!m || !n) return 0;
  if (!k) {
    if (!accumulate) VB_N(clear)(m, n, c, ldc);
    return 0;
  }
  transpose_a = transpose_a != 0;
  // Packing Aᵀ costs a pass over it: worth it when it is read for several panels.
  int pack = transpose_a && n > 2 * VB_NR;
  VB_T *tiles = NULL;
  if (pack && !(tiles = vb_scratch(0, VB_MC * VB_KC * sizeof(VB_T)))) return -1;
  size_t step = VB_N(block)(k);
  for (size_t p = 0; p < k; p += step) {
    size_t kc = k - p < step ? k - p : step;
    for (size_t i = 0; i < m; i += VB_MC) {
      size_t mc = m - i < VB_MC ? m - i : VB_MC;
      const VB_T *block = transpose_a ? a + p * lda + i : a + i * lda + p;
      if (pack) VB_N(pack_a)(mc, kc, block, lda, tiles);
      VB_N(block_product)(mc, n, kc, pack ? tiles : block, lda, transpose_a, pack, packed + p * VB_NR, k * VB_NR,
                          VB_NR, c + i * ldc, ldc, accumulate || p);
    }
  }
  return 0;
}

static int VB_N(gemm)(size_t m, size_t n, size_t k, const VB_T *a, size_t lda, int transpose_a, const VB_T *b,
                      size_t ldb, int transpose_b, VB_T *c, size_t ldc, int accumulate) {
  if (!m || !n) return 0;
  if (!k) {
    if (!accumulate) VB_N(clear)(m, n, c, ldc);
    return 0;
  }
  transpose_a = transpose_a != 0;
  // Few rows use each element of B too seldom to pay for packing it: whole panels are then read in place.
  int in_place = !transpose_b && m <= 2 * VB_MR;
  int pack_a = transpose_a && n > 2 * VB_NR;
  // With one block of rows each panel is packed, used and overwritten while it is in the cache.
  size_t nc = m <= VB_MC ? VB_NR : VB_NC;
  VB_T *panels = vb_scratch(1, VB_KC * nc * sizeof(VB_T)), *tiles = NULL;
  if (!panels || (pack_a && !(tiles = vb_scratch(0, VB_MC * VB_KC * sizeof(VB_T))))) return -1;
  size_t step = VB_N(block)(k);
  for (size_t p = 0; p < k; p += step) {
    size_t kc = k - p < step ? k - p : step;
    for (size_t j = 0; j < n; j += nc) {
      size_t width = n - j < nc ? n - j : nc;
      const VB_T *from = transpose_b ? b + j * ldb + p : b + p * ldb + j;
      int direct = in_place && width == VB_NR;
      if (!direct) VB_N(pack_b)(kc, width, from, ldb, transpose_b, panels);
      for (size_t i = 0; i < m; i += VB_MC) {
        size_t mc = m - i < VB_MC ? m - i : VB_MC;
        const VB_T *block = transpose_a ? a + p * lda + i : a + i * lda + p;
        if (pack_a && (j == 0 || m > VB_MC)) VB_N(pack_a)(mc, kc, block, lda, tiles);
        VB_N(block_product)(mc, width, kc, pack_a ? tiles : block, lda, transpose_a, pack_a,
                            direct ? from : panels, kc * VB_NR, direct ? ldb : VB_NR, c + i * ldc + j, ldc,
                            accumulate || p);
      }
    }
  }
  return 0;
}

const VB_JOIN(vb_gemm_table_, VB_S) VB_JOIN(vb_gemm_, VB_JOIN(VB_S, VB_JOIN(_, VB_ISA))) = {
    VB_NR, VB_N(pack_b), VB_N(gemm_packed), VB_N(gemm), VB_N(transpose)};

#undef VB_T
#undef VB_S
#undef VB_N
#undef VB_VL
#undef VB_NR
#undef VB_KC
#undef VB_MC
#undef VB_NC
#undef VB_KERNEL
#undef VB_KERNELS
#undef VB_ROW
#undef VB_TABLE
