// Implicit matrix products for one instruction set and one element type: tiles of windows x output channels whose left
// operand is the image itself. Expects VB_ISA, VB_T, VB_S, VB_BYTES, VB_MR and VB_NV as gemm.inc.h does, and the same
// values: the panels are those of vb_pack_b.
#define VB_N(x) VB_JOIN(x, VB_JOIN(_, VB_JOIN(VB_S, VB_JOIN(_, VB_ISA))))
#define VB_VL (VB_BYTES / sizeof(VB_T))
#define VB_NR (VB_VL * VB_NV)
// Narrow panels take twice the rows: fewer accumulators than that cannot hide the latency of an FMA.
#define VB_TALL (2 * VB_MR)

typedef VB_T VB_N(vector) __attribute__((vector_size(VB_BYTES)));
typedef VB_T VB_N(loose) __attribute__((vector_size(VB_BYTES), aligned(sizeof(VB_T)), may_alias));

// The sums of a tile once more, without the terms of a that do not belong to a column: 0 times NaN or an infinity is NaN.
static __attribute__((noinline)) void VB_N(implicit_owned)(int mr, int nv, const vb_implicit *shape, const VB_T *a,
                                                           const VB_T *b, VB_N(vector) *sum) {
  for (int i = 0; i < mr * nv; i++) sum[i] = (VB_N(vector)){0};
  const size_t terms = shape->length / shape->parts;
  for (size_t g = 0; g < shape->segments; g++) {
    const VB_T *from = a + shape->offsets[g];
    for (size_t part = 0; part < shape->parts; part++) {
      __typeof__(sum[0] < sum[0]) own[VB_NV];
      for (int l = 0; l < nv * (int)VB_VL; l++)
        own[l / VB_VL][l % VB_VL] = -(shape->owners[2 * part] <= l && l < shape->owners[2 * part + 1]);
      for (size_t p = 0; p < terms; p++, from += shape->term_step, b += VB_NR)
        for (int j = 0; j < nv; j++) {
          const VB_N(vector) row = *(const VB_N(loose) *)(b + j * VB_VL);
          for (int i = 0; i < mr; i++) {
            VB_N(vector) x = from[i * shape->row_step] - (VB_N(vector)){0};
            sum[i * nv + j] += (VB_N(vector))((__typeof__(own[0]))x & own[j]) * row;
          }
        }
    }
  }
}

// mr, nv are literals, so that every loop over them unrolls.
static inline __attribute__((always_inline)) void VB_N(implicit_tile)(const int mr, const int nv,
                                                                      const vb_implicit *shape, const VB_T *a,
                                                                      const VB_T *b, const VB_T *bias, VB_T *c) {
  VB_N(vector) sum[VB_TALL][VB_NV];
  VB_UNROLL for (int i = 0; i < mr; i++) VB_UNROLL for (int j = 0; j < nv; j++) sum[i][j] = (VB_N(vector)){0};
  const ptrdiff_t row_step = shape->row_step, term_step = shape->term_step;
  const size_t length = shape->length;
  const VB_T *const panel = b;
  for (size_t g = 0; g < shape->segments; g++) {
    const VB_T *from = a + shape->offsets[g];
    for (size_t p = 0; p < length; p++) {
      VB_N(vector) row[VB_NV];
      VB_UNROLL for (int j = 0; j < nv; j++) row[j] = *(const VB_N(loose) *)(b + j * VB_VL);
      VB_UNROLL for (int i = 0; i < mr; i++) {
        VB_N(vector) x = from[i * row_step] - (VB_N(vector)){0};
        VB_UNROLL for (int j = 0; j < nv; j++) sum[i][j] += x * row[j];
      }
      from += term_step;
      b += VB_NR;
    }
  }
  if (shape->parts) {
    // Whatever spoilt a sum left NaN in it: the usual tile pays for a comparison, not for masks on every term.
    __typeof__(sum[0][0] < sum[0][0]) spoilt = {0};
    VB_UNROLL for (int i = 0; i < mr; i++) VB_UNROLL for (int j = 0; j < nv; j++)
        spoilt |= sum[i][j] != sum[i][j];
    int any = 0;
    VB_UNROLL for (int l = 0; l < (int)VB_VL; l++) any |= spoilt[l] != 0;
    if (any) {
      VB_N(vector) owned[VB_TALL * VB_NV];
      VB_N(implicit_owned)(mr, nv, shape, a, panel, owned);
      VB_UNROLL for (int i = 0; i < mr; i++) VB_UNROLL for (int j = 0; j < nv; j++)
          sum[i][j] = owned[i * nv + j];
    }
  }
  const ptrdiff_t result_step = shape->result_step;
  const size_t rest = shape->width - (nv - 1) * VB_VL;
  if (bias)
    VB_UNROLL for (int j = 0; j < nv; j++) {
      VB_N(vector) shift = *(const VB_N(loose) *)(bias + j * VB_VL);
      VB_UNROLL for (int i = 0; i < mr; i++) sum[i][j] += shift;
    }
  if (shape->relu)
    VB_UNROLL for (int i = 0; i < mr; i++) VB_UNROLL for (int j = 0; j < nv; j++)
        VB_RELU(sum[i][j]);
  VB_UNROLL for (int i = 0; i < mr; i++) {
    VB_UNROLL for (int j = 0; j < nv; j++) {
      VB_T *to = c + i * result_step + j * VB_VL;
      if (j < nv - 1 || rest == VB_VL) {
        VB_N(loose) *out = (VB_N(loose) *)to;
        *out = shape->accumulate ? *out + sum[i][j] : sum[i][j];
      } else {
        VB_T lane[VB_VL];
        *(VB_N(loose) *)lane = sum[i][j];
        for (size_t l = 0; l < rest; l++) to[l] = shape->accumulate ? to[l] + lane[l] : lane[l];
      }
    }
  }
}

typedef void (*VB_N(implicit_kernel))(const vb_implicit *shape, const VB_T *a, const VB_T *b, const VB_T *bias,
                                      VB_T *c);
#define VB_TILE(MR, NV)                                                                                         \
  static void VB_N(implicit_##MR##_##NV)(const vb_implicit *shape, const VB_T *a, const VB_T *b, const VB_T *bias, \
                                         VB_T *c) {                                                             \
    VB_N(implicit_tile)(MR, NV, shape, a, b, bias, c);                                                          \
  }
#define VB_TILES4(NV) VB_TILE(1, NV) VB_TILE(2, NV) VB_TILE(3, NV) VB_TILE(4, NV)
#define VB_TILES6(NV) VB_TILES4(NV) VB_TILE(5, NV) VB_TILE(6, NV)
#define VB_TILES8(NV) VB_TILES6(NV) VB_TILE(7, NV) VB_TILE(8, NV)
#define VB_TILES12(NV) VB_TILES8(NV) VB_TILE(9, NV) VB_TILE(10, NV) VB_TILE(11, NV) VB_TILE(12, NV)
#define VB_PICK(MR, NV) VB_N(implicit_##MR##_##NV)
#define VB_ROW4(NV) VB_PICK(1, NV), VB_PICK(2, NV), VB_PICK(3, NV), VB_PICK(4, NV)
#define VB_ROW6(NV) VB_ROW4(NV), VB_PICK(5, NV), VB_PICK(6, NV)
#define VB_ROW8(NV) VB_ROW6(NV), VB_PICK(7, NV), VB_PICK(8, NV)
#define VB_ROW12(NV) VB_ROW8(NV), VB_PICK(9, NV), VB_PICK(10, NV), VB_PICK(11, NV), VB_PICK(12, NV)
#if VB_NV == 4
VB_TILES12(1) VB_TILES12(2) VB_TILES6(3) VB_TILES6(4)
static const VB_N(implicit_kernel) VB_N(implicit_kernels)[VB_NV][VB_TALL] = {
    {VB_ROW12(1)}, {VB_ROW12(2)}, {VB_ROW6(3)}, {VB_ROW6(4)}};
#elif VB_MR == 6
VB_TILES12(1) VB_TILES6(2)
static const VB_N(implicit_kernel) VB_N(implicit_kernels)[VB_NV][VB_TALL] = {{VB_ROW12(1)}, {VB_ROW6(2)}};
#else
VB_TILES8(1) VB_TILES4(2)
static const VB_N(implicit_kernel) VB_N(implicit_kernels)[VB_NV][VB_TALL] = {{VB_ROW8(1)}, {VB_ROW4(2)}};
#endif

// Rows in tiles of nearly equal height: a last tile of one row would run at the latency of its few chains.
static void VB_N(implicit)(const vb_implicit *shape, const VB_T *a, const VB_T *b, const VB_T *bias, VB_T *c) {
  if (!shape->rows || !shape->width) return;
  size_t nv = (shape->width + VB_VL - 1) / VB_VL, most = nv <= VB_NV / 2 ? VB_TALL : VB_MR;
  size_t tiles = (shape->rows + most - 1) / most, small = shape->rows / tiles, larger = shape->rows % tiles;
  for (size_t t = 0; t < tiles; t++) {
    size_t mr = small + (t < larger);
    VB_N(implicit_kernels)[nv - 1][mr - 1](shape, a, b, bias, c);
    a += (ptrdiff_t)mr * shape->row_step;
    c += (ptrdiff_t)mr * shape->result_step;
  }
}

#undef VB_TILE
#undef VB_TILES4
#undef VB_TILES6
#undef VB_TILES8
#undef VB_TILES12
#undef VB_PICK
#undef VB_ROW4
#undef VB_ROW6
#undef VB_ROW8
#undef VB_ROW12
#undef VB_TALL
#undef VB_NR
#undef VB_VL
#undef VB_N
