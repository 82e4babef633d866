// Lines between images and columns, for one instruction set and element type. Expects VB_ISA, VB_T, VB_S (f32, f64) and
// VB_BYTES (of a vector). Undefines VB_T and VB_S for the next inclusion.
//
// Lines are short (7 to 56 elements in most networks): a call of memmove takes longer than the copy. The last vector of a
// line overlaps the one before it instead of being cut into single elements.
#define VB_N(x) VB_JOIN(x, VB_JOIN(_, VB_JOIN(VB_S, VB_JOIN(_, VB_ISA))))
#define VB_VL (VB_BYTES / sizeof(VB_T))

typedef VB_T VB_N(wide) __attribute__((vector_size(VB_BYTES), aligned(sizeof(VB_T)), may_alias));
typedef VB_T VB_N(narrow) __attribute__((vector_size(16), aligned(sizeof(VB_T)), may_alias));
#define VB_NL (16 / sizeof(VB_T))

static inline __attribute__((always_inline)) void VB_N(copy_line)(size_t n, const VB_T *from, VB_T *to) {
  size_t i = 0;
  if (n >= VB_VL) {
    VB_N(wide) last = *(const VB_N(wide) *)(from + n - VB_VL);
    for (; i + VB_VL <= n; i += VB_VL) *(VB_N(wide) *)(to + i) = *(const VB_N(wide) *)(from + i);
    *(VB_N(wide) *)(to + n - VB_VL) = last;
    return;
  }
  if (n >= VB_NL) {
    VB_N(narrow) last = *(const VB_N(narrow) *)(from + n - VB_NL);
    for (; i + VB_NL <= n; i += VB_NL) *(VB_N(narrow) *)(to + i) = *(const VB_N(narrow) *)(from + i);
    *(VB_N(narrow) *)(to + n - VB_NL) = last;
    return;
  }
  for (; i < n; i++) to[i] = from[i];
}

static inline __attribute__((always_inline)) void VB_N(add_line)(size_t n, const VB_T *from, VB_T *to) {
  size_t i = 0;
  if (n >= VB_VL) {
    // Summed before anything is written: the overlap would be added twice.
    VB_N(wide) last = *(const VB_N(wide) *)(to + n - VB_VL) + *(const VB_N(wide) *)(from + n - VB_VL);
    for (; i + VB_VL <= n; i += VB_VL) *(VB_N(wide) *)(to + i) += *(const VB_N(wide) *)(from + i);
    *(VB_N(wide) *)(to + n - VB_VL) = last;
    return;
  }
  if (n >= VB_NL) {
    VB_N(narrow) last = *(const VB_N(narrow) *)(to + n - VB_NL) + *(const VB_N(narrow) *)(from + n - VB_NL);
    for (; i + VB_NL <= n; i += VB_NL) *(VB_N(narrow) *)(to + i) += *(const VB_N(narrow) *)(from + i);
    *(VB_N(narrow) *)(to + n - VB_NL) = last;
    return;
  }
  for (; i < n; i++) to[i] += from[i];
}

static inline __attribute__((always_inline)) void VB_N(clear_line)(size_t n, VB_T *to) {
  // A loop that the compiler turned into memset would cost more than the one or two elements of most paddings.
  for (size_t i = 0; i < n; i++) {
    to[i] = 0;
    __asm__ volatile("" ::: "memory");
  }
}

static void VB_N(gather_lines)(size_t lines, size_t before, size_t length, size_t after, const VB_T *from,
                               size_t from_stride, size_t step, VB_T *to) {
  for (; lines; lines--, from += from_stride, to += before + length + after) {
    VB_N(clear_line)(before, to);
    VB_T *line = to + before;
    if (step == 1) VB_N(copy_line)(length, from, line);
    else if (step == 2)
      for (size_t i = 0; i < length; i++) line[i] = from[2 * i];
    else
      for (size_t i = 0; i < length; i++) line[i] = from[step * i];
    VB_N(clear_line)(after, line + length);
  }
}

static void VB_N(scatter_lines)(size_t lines, size_t length, const VB_T *from, size_t from_stride, VB_T *to,
                                size_t to_stride, size_t step) {
  for (; lines; lines--, from += from_stride, to += to_stride) {
    if (step == 1) VB_N(add_line)(length, from, to);
    else
      for (size_t i = 0; i < length; i++) to[step * i] += from[i];
  }
}

const VB_JOIN(vb_lines_table_, VB_S) VB_JOIN(vb_lines_, VB_JOIN(VB_S, VB_JOIN(_, VB_ISA))) = {VB_N(gather_lines),
                                                                                              VB_N(scatter_lines)};
#undef VB_N
#undef VB_VL
#undef VB_NL
#undef VB_T
#undef VB_S
