// Limits of one core for one instruction set. Expects VB_ISA, VB_BYTES and VB_CHAINS.
//
// VB_CHAINS vectors, factor and summand have to fit into the registers. A step of a chain waits for the one
// before, so the chains must outnumber latency times steps per cycle: 4 or 5 cycles times 2.
#define VB_N(x) VB_JOIN(x, VB_JOIN(_, VB_ISA))
#define VB_LANES (VB_BYTES / sizeof(float))
// Vectors that a pass over an array takes at once: additions of one accumulator must not wait for each other.
#define VB_STEP 8

typedef float VB_N(floats) __attribute__((vector_size(VB_BYTES)));
typedef uint32_t VB_N(words) __attribute__((vector_size(VB_BYTES)));
// The same in memory, at any element's address.
typedef float VB_N(stored_floats) __attribute__((vector_size(VB_BYTES), aligned(4), may_alias));
typedef uint32_t VB_N(stored_words) __attribute__((vector_size(VB_BYTES), aligned(4), may_alias));

static float VB_N(chains)(size_t iterations, float seed) {
  VB_N(floats) x[VB_CHAINS], factor, summand, lanes;
  for (size_t lane = 0; lane < VB_LANES; lane++) {
    factor[lane] = VB_CHAIN_FACTOR;
    summand[lane] = VB_CHAIN_SUMMAND;
    lanes[lane] = (float)lane;
  }
  for (size_t chain = 0; chain < VB_CHAINS; chain++) x[chain] = lanes + (float)(chain * VB_LANES) + seed;
  for (size_t i = 0; i < iterations; i++) {
    VB_UNROLL
    for (size_t chain = 0; chain < VB_CHAINS; chain++) x[chain] = x[chain] * factor + summand;
  }
  float sum = 0;
  // Few operations that wait for each other: they count as time, but not as work.
  for (size_t chain = 1; chain < VB_CHAINS; chain++) x[0] += x[chain];
  for (size_t lane = 0; lane < VB_LANES; lane++) sum += x[0][lane];
  return sum;
}

// A few elements are left at the end of an array: vectors of their own would only be more code.
#define VB_TAIL _Pragma("clang loop vectorize(disable) unroll(disable)")
// No pass may be merged with the one before.
#define VB_NEXT_PASS(p) __asm__ volatile("" : "+r"(p) : : "memory")

static uint32_t VB_N(read)(size_t passes, size_t n, const uint32_t *x) {
  VB_N(words) sums[VB_STEP] = {0};
  uint32_t sum = 0;
  for (size_t pass = 0; pass < passes; pass++) {
    const uint32_t *next = x, *end = x + n;
    for (; (size_t)(end - next) >= VB_STEP * VB_LANES; next += VB_STEP * VB_LANES) {
      VB_UNROLL
      for (size_t k = 0; k < VB_STEP; k++) sums[k] += *(const VB_N(stored_words) *)(next + k * VB_LANES);
    }
    VB_TAIL
    for (; next < end; next++) sum += *next;
    VB_NEXT_PASS(x);
  }
  for (size_t k = 1; k < VB_STEP; k++) sums[0] += sums[k];
  for (size_t lane = 0; lane < VB_LANES; lane++) sum += sums[0][lane];
  return sum;
}

static void VB_N(write)(size_t passes, size_t n, uint32_t value, uint32_t *y) {
  VB_N(words) values;
  for (size_t lane = 0; lane < VB_LANES; lane++) values[lane] = value;
  for (size_t pass = 0; pass < passes; pass++) {
    size_t i = 0;
    for (; i + VB_STEP * VB_LANES <= n; i += VB_STEP * VB_LANES) {
      VB_UNROLL
      for (size_t k = 0; k < VB_STEP; k++) *(VB_N(stored_words) *)(y + i + k * VB_LANES) = values;
    }
    VB_TAIL
    for (; i < n; i++) y[i] = value;
    VB_NEXT_PASS(y);
  }
}

static void VB_N(triad)(size_t passes, size_t n, float s, const float *restrict b, const float *restrict c,
                        float *restrict a) {
  for (size_t pass = 0; pass < passes; pass++) {
    size_t i = 0;
    for (; i + VB_STEP * VB_LANES <= n; i += VB_STEP * VB_LANES) {
      VB_UNROLL
      for (size_t k = 0; k < VB_STEP; k++) {
        size_t j = i + k * VB_LANES;
        *(VB_N(stored_floats) *)(a + j) =
            *(const VB_N(stored_floats) *)(b + j) + s * *(const VB_N(stored_floats) *)(c + j);
      }
    }
    VB_TAIL
    for (; i < n; i++) a[i] = b[i] + s * c[i];
    VB_NEXT_PASS(a);
  }
}

const vb_limits_table VB_JOIN(vb_limits_, VB_ISA) = {
    .flops = 2 * VB_CHAINS * VB_LANES,
    .chains = VB_N(chains),
    .read = VB_N(read),
    .write = VB_N(write),
    .triad = VB_N(triad)};
