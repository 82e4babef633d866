// Small constant transforms for one instruction set and one element type. Expects VB_ISA, VB_T, VB_S, VB_BYTES;
// undefines VB_T and VB_S for the next inclusion.
#define VB_N(x) VB_JOIN(x, VB_JOIN(_, VB_JOIN(VB_S, VB_JOIN(_, VB_ISA))))
#define VB_VL ((ptrdiff_t)(VB_BYTES / sizeof(VB_T)))
// Vectors from one row of the intermediate tile to the next: odd, so that its columns spread over the cache's sets.
#define VB_ROW (VB_TRANSFORM_MAX + 1)

typedef VB_T VB_N(vector) __attribute__((vector_size(VB_BYTES)));
typedef VB_T VB_N(loose) __attribute__((vector_size(VB_BYTES), aligned(sizeof(VB_T)), may_alias));

// What happens to a result on its way out; `lanes` of a vector exist.
typedef struct VB_N(finish) {
  const VB_T *bias;
  int accumulate, relu;
  ptrdiff_t lanes;
} VB_N(finish);

static inline __attribute__((always_inline)) void VB_N(put)(const int plain, const VB_N(finish) *finish,
                                                            VB_N(vector) value, VB_T *out) {
  if (plain) {
    *(VB_N(loose) *)out = value;
    return;
  }
  if (finish->lanes == VB_VL) {
    if (finish->accumulate) value += *(const VB_N(loose) *)out;
    if (finish->bias) value += *(const VB_N(loose) *)finish->bias;
    if (finish->relu) {
      __typeof__(value < 0) negative = value < 0;
      value = (VB_N(vector))((__typeof__(negative))value & ~negative);
    }
    *(VB_N(loose) *)out = value;
    return;
  }
  VB_T lane[VB_BYTES / sizeof(VB_T)];
  *(VB_N(loose) *)lane = value;
  for (ptrdiff_t l = 0; l < finish->lanes; l++) {
    VB_T x = lane[l];
    if (finish->accumulate) x += out[l];
    if (finish->bias) x += finish->bias[l];
    if (finish->relu && x < 0) x = 0;
    out[l] = x;
  }
}

// For every row r < rows of m and w < count: out[r, w] = sum over j in [j0, j1) of m[r, j] * in[j - j0, w].
// Each coefficient is fetched once for `count` independent sums; count is a literal.
static inline __attribute__((always_inline)) void VB_N(lines)(const int count, const int plain, const vb_transform *m,
                                                              uint32_t rows, uint32_t j0, uint32_t j1,
                                                              const VB_T *in, ptrdiff_t in_j, ptrdiff_t in_w,
                                                              VB_T *out, ptrdiff_t out_r, ptrdiff_t out_w,
                                                              const VB_N(finish) *finish) {
  for (uint32_t r = 0; r < rows; r++) {
    VB_N(vector) sum[8];
    VB_UNROLL for (int w = 0; w < count; w++) sum[w] = (VB_N(vector)){0};
    for (uint32_t e = m->start[r]; e < m->start[r + 1]; e++) {
      uint32_t j = m->column[e];
      if (j < j0 || j >= j1) continue;
      VB_N(vector) x = m->VB_S[e] - (VB_N(vector)){0};
      const VB_T *from = in + (ptrdiff_t)(j - j0) * in_j;
      VB_UNROLL for (int w = 0; w < count; w++) sum[w] += x * *(const VB_N(loose) *)(from + w * in_w);
    }
    VB_UNROLL for (int w = 0; w < count; w++) VB_N(put)(plain, finish, sum[w], out + r * out_r + w * out_w);
  }
}

#define VB_LINES(COUNT, PLAIN)                                                                                  \
  VB_N(lines)(COUNT, PLAIN, m, rows, j0, j1, in, in_j, in_w, out, out_r, out_w, finish); break
#define VB_LINES_SWITCH(PLAIN)                                                                                  \
  while (count > 0) {                                                                                           \
    uint32_t now = count > 8 ? 8 : count;                                                                       \
    switch (now) {                                                                                              \
      case 1: VB_LINES(1, PLAIN);                                                                               \
      case 2: VB_LINES(2, PLAIN);                                                                               \
      case 3: VB_LINES(3, PLAIN);                                                                               \
      case 4: VB_LINES(4, PLAIN);                                                                               \
      case 5: VB_LINES(5, PLAIN);                                                                               \
      case 6: VB_LINES(6, PLAIN);                                                                               \
      case 7: VB_LINES(7, PLAIN);                                                                               \
      default: VB_LINES(8, PLAIN);                                                                              \
    }                                                                                                           \
    count -= now;                                                                                               \
    in += now * in_w;                                                                                           \
    out += now * out_w;                                                                                         \
  }

static void VB_N(lines_plain)(uint32_t count, const vb_transform *m, uint32_t rows, uint32_t j0, uint32_t j1,
                              const VB_T *in, ptrdiff_t in_j, ptrdiff_t in_w, VB_T *out, ptrdiff_t out_r,
                              ptrdiff_t out_w) {
  const VB_N(finish) *finish = NULL;
  VB_LINES_SWITCH(1)
}

static void VB_N(lines_finish)(uint32_t count, const vb_transform *m, uint32_t rows, uint32_t j0, uint32_t j1,
                               const VB_T *in, ptrdiff_t in_j, ptrdiff_t in_w, VB_T *out, ptrdiff_t out_r,
                               ptrdiff_t out_w, const VB_N(finish) *finish) {
  VB_LINES_SWITCH(0)
}

static void VB_N(one)(const vb_transform *m, size_t n, const VB_T *in, ptrdiff_t in_stride, VB_T *out,
                      ptrdiff_t out_stride) {
  ptrdiff_t c = 0, count = (ptrdiff_t)n;
  while (count - c >= VB_VL) {
    ptrdiff_t vectors = (count - c) / VB_VL;
    if (vectors > 4) vectors = 4;
    VB_N(lines_plain)((uint32_t)vectors, m, m->rows, 0, m->columns, in + c, in_stride, VB_VL, out + c, out_stride,
                      VB_VL);
    c += vectors * VB_VL;
  }
  if (c == count) return;
  VB_N(vector) edge[VB_TRANSFORM_MAX];
  for (uint32_t j = 0; j < m->columns; j++) {
    VB_T lane[VB_BYTES / sizeof(VB_T)] = {0};
    for (ptrdiff_t l = 0; l < count - c; l++) lane[l] = in[(ptrdiff_t)j * in_stride + c + l];
    edge[j] = *(const VB_N(loose) *)lane;
  }
  VB_N(finish) finish = {NULL, 0, 0, count - c};
  VB_N(lines_finish)(1, m, m->rows, 0, m->columns, (const VB_T *)edge, VB_VL, 0, out + c, out_stride, 0, &finish);
}

// One line x[columns] through a matrix of a known form and shape (literals): y[rows]. Where the rows (or columns) of +-a come in
// pairs, o + e and o - e share their sums: 12 instead of 22 operations for the 6-point Bt, 24 instead of 44 for 8 points.
// `k` are all elements, `monic` the coefficients of a monic form.
static inline __attribute__((always_inline)) void VB_N(line)(const vb_transform_form form, const int rows,
                                                             const int columns, const VB_T *k, const VB_T *monic,
                                                             const VB_N(vector) *x, VB_N(vector) *y) {
  if (form == VB_TRANSFORM_OUTPUT) {
    VB_N(vector) sum[4], difference[4];
    VB_UNROLL for (int p = 0; 2 * p + 2 < columns; p++) {
      sum[p] = x[2 * p + 1] + x[2 * p + 2];
      difference[p] = x[2 * p + 1] - x[2 * p + 2];
    }
    y[0] = x[0];
    VB_UNROLL for (int p = 0; 2 * p + 2 < columns; p++) y[0] += sum[p];
    VB_UNROLL for (int i = 1; i < rows; i++) {
      y[i] = k[i * columns + 1] * (i % 2 ? difference[0] : sum[0]);
      VB_UNROLL for (int p = 1; 2 * p + 2 < columns; p++)
        y[i] += k[i * columns + 2 * p + 1] * (i % 2 ? difference[p] : sum[p]);
    }
    y[rows - 1] += x[columns - 1];
    return;
  }
  if (form == VB_TRANSFORM_MONIC) {
    const int own = columns / 2 - 2;
    y[0] = columns % 4 ? x[columns - 2] : -x[columns - 2];
    VB_UNROLL for (int j = columns - 4; j >= 0; j -= 2) y[0] += k[j] * x[j];
    VB_UNROLL for (int p = 0; 2 * p + 2 < rows; p++) {
      const VB_T *c = monic + p * (2 * own + 1);
      VB_N(vector) e = columns % 4 ? -x[columns - 2] : x[columns - 2];
      VB_N(vector) o = columns % 4 ? -x[columns - 3] : x[columns - 3];
      VB_UNROLL for (int j = 0; j < own; j++) {
        e += c[j] * x[2 * j + 2];
        o += c[own + j] * x[2 * j + 1];
      }
      y[2 * p + 1] = c[2 * own] * o + e;
      y[2 * p + 2] = c[2 * own] * o - e;
    }
    y[rows - 1] = x[columns - 1];
    VB_UNROLL for (int j = columns - 3; j >= 1; j -= 2) y[rows - 1] += k[(rows - 1) * columns + j] * x[j];
    return;
  }
  const int data = form == VB_TRANSFORM_DATA;
  y[0] = k[0] * x[0];
  if (data)
    VB_UNROLL for (int j = 2; j < columns; j += 2) y[0] += k[j] * x[j];
  VB_UNROLL for (int i = 1; i + 1 < rows; i += 2) {
    const VB_T *c = k + i * columns;
    VB_N(vector) o = c[1] * x[1], e = c[data ? 2 : 0] * x[data ? 2 : 0];
    VB_UNROLL for (int j = 3; j < columns - data; j += 2) o += c[j] * x[j];
    VB_UNROLL for (int j = data ? 4 : 2; j < columns; j += 2) e += c[j] * x[j];
    y[i] = o + e;
    y[i + 1] = o - e;
  }
  y[rows - 1] = x[columns - 1];
  if (data)
    VB_UNROLL for (int j = 1; j < columns - 1; j += 2) y[rows - 1] += k[(rows - 1) * columns + j] * x[j];
}

#define VB_DENSE VB_JOIN(dense_, VB_S)
#define VB_MONIC VB_JOIN(monic_, VB_S)

// Whole vectors through two matrices of one form and shape (literals), so that loops unroll and no branch depends on a coefficient.
// Literals too: `whole`, every element of the tile exists (others count as 0: adding their products changes nothing); `end`, 0 for
// whole results stored as they are, 1 for whole results after bias and ReLU, 2 for anything.
static inline __attribute__((always_inline)) ptrdiff_t VB_N(fixed)(const vb_transform_form form, const int rows,
                                                                   const int columns, const int whole, const int end,
                                                                   const vb_transform *left, const vb_transform *right,
                                                                   const vb_transform_layout *y, const VB_T *in,
                                                                   VB_T *out, const VB_T *bias) {
  ptrdiff_t c = 0, n = (ptrdiff_t)y->n;
  // Copies, because a store of a vector might change what `y` points to, as far as the compiler knows.
  const ptrdiff_t in_row = y->in_row, in_column = y->in_column, out_row = y->out_row, out_column = y->out_column;
  const int relu = y->relu;
  const int row0 = whole ? 0 : (int)y->row0, row1 = whole ? columns : (int)y->row1;
  const int column0 = whole ? 0 : (int)y->column0, column1 = whole ? columns : (int)y->column1;
  const int out_rows = end < 2 ? rows : (int)y->out_rows, out_columns = end < 2 ? rows : (int)y->out_columns;
  const VB_N(vector) zero = {0};
  for (; c + VB_VL <= n; c += VB_VL) {
    VB_N(vector) middle[64];
    VB_N(finish) finish = {bias ? bias + c : NULL, y->accumulate, relu, VB_VL};
    const VB_N(vector) shift = end == 1 && bias ? *(const VB_N(loose) *)(bias + c) : zero;
    const VB_T *tile = in + c - row0 * in_row - column0 * in_column;
    for (int j = row0; j < row1 && y->prefetch_columns; j++)
      for (uint32_t w = 0; w < y->prefetch_columns; w++)
        __builtin_prefetch(tile + j * in_row + (column1 + (ptrdiff_t)w) * in_column);
    // Rows that do not exist are read from a vector of zeros, without a branch for each element.
    const VB_T *line[8];
    ptrdiff_t step[8];
    VB_UNROLL for (int j = 0; j < columns; j++) {
      int exists = whole || (j >= row0 && j < row1);
      line[j] = exists ? tile + j * in_row : (const VB_T *)&zero;
      step[j] = exists ? in_column : 0;
    }
    for (int w = 0; w < columns; w++) {
      VB_N(vector) x[8], sums[8];
      if (!whole && (w < column0 || w >= column1)) {
        VB_UNROLL for (int r = 0; r < rows; r++) middle[r * columns + w] = zero;
        continue;
      }
      VB_UNROLL for (int j = 0; j < columns; j++) x[j] = *(const VB_N(loose) *)(line[j] + w * step[j]);
      VB_N(line)(form, rows, columns, left->VB_DENSE, left->VB_MONIC, x, sums);
      VB_UNROLL for (int r = 0; r < rows; r++) middle[r * columns + w] = sums[r];
    }
    for (int r = 0; r < out_rows; r++) {
      VB_N(vector) sums[8];
      VB_N(line)(form, rows, columns, right->VB_DENSE, right->VB_MONIC, middle + r * columns, sums);
      VB_UNROLL for (int q = 0; q < rows; q++) {
        if (end == 2 && q >= out_columns) break;
        VB_N(vector) sum = sums[q];
        VB_T *to = out + c + r * out_row + q * out_column;
        if (end == 1) {
          if (bias) sum += shift;
          if (relu) VB_RELU(sum);
          *(VB_N(loose) *)to = sum;
        } else {
          VB_N(put)(end == 0, &finish, sum, to);
        }
      }
    }
  }
  return c;
}

#define VB_CASE(FORM, ROWS, COLUMNS, WHOLE, END) \
  return VB_N(fixed)(FORM, ROWS, COLUMNS, WHOLE, END, left, right, y, in, out, bias);
#define VB_IS(FORM, ROWS, COLUMNS)                                                                    \
  (left->form == FORM && right->form == FORM && left->rows == ROWS && left->columns == COLUMNS &&     \
   right->rows == ROWS && right->columns == COLUMNS)
// Images, gradients and filters: tiles may be cut, results are stored as they are.
#define VB_INTO(FORM, ROWS, COLUMNS)                      \
  if (VB_IS(FORM, ROWS, COLUMNS) && end == 0) {           \
    if (whole) VB_CASE(FORM, ROWS, COLUMNS, 1, 0)         \
    VB_CASE(FORM, ROWS, COLUMNS, 0, 0)                    \
  }
// Results: tiles are whole, results may be cut and finished.
#define VB_BACK(ROWS, COLUMNS)                                        \
  if (VB_IS(VB_TRANSFORM_OUTPUT, ROWS, COLUMNS) && whole) {           \
    if (end == 0) VB_CASE(VB_TRANSFORM_OUTPUT, ROWS, COLUMNS, 1, 0)   \
    if (end == 1) VB_CASE(VB_TRANSFORM_OUTPUT, ROWS, COLUMNS, 1, 1)   \
    VB_CASE(VB_TRANSFORM_OUTPUT, ROWS, COLUMNS, 1, 2)                 \
  }

// Channels done by `fixed`: whole vectors where the matrices are known. F(m, r) has m + r - 1 points, of which the tile has as many
// rows and columns; the gradient of the filter exchanges m and r.
static ptrdiff_t VB_N(known)(const vb_transform *left, const vb_transform *right, const vb_transform_layout *y,
                             const VB_T *in, VB_T *out, const VB_T *bias) {
  int whole = !y->row0 && !y->column0 && y->row1 == left->columns && y->column1 == right->columns;
  int end = y->accumulate || y->out_rows != left->rows || y->out_columns != right->rows ? 2 : bias || y->relu ? 1 : 0;
  VB_INTO(VB_TRANSFORM_MONIC, 6, 6)
  VB_INTO(VB_TRANSFORM_DATA, 6, 6)
  VB_INTO(VB_TRANSFORM_FILTER, 6, 3)  // F(4, 3)
  VB_BACK(4, 6)
  VB_INTO(VB_TRANSFORM_FILTER, 6, 4)  // F(3, 4)
  VB_BACK(3, 6)
  VB_INTO(VB_TRANSFORM_FILTER, 6, 5)  // F(2, 5)
  VB_BACK(2, 6)
  VB_INTO(VB_TRANSFORM_FILTER, 6, 2)  // F(5, 2)
  VB_BACK(5, 6)
  VB_INTO(VB_TRANSFORM_MONIC, 4, 4)
  VB_INTO(VB_TRANSFORM_FILTER, 4, 3)  // F(2, 3)
  VB_BACK(2, 4)
  VB_INTO(VB_TRANSFORM_FILTER, 4, 2)  // F(3, 2)
  VB_BACK(3, 4)
  VB_INTO(VB_TRANSFORM_MONIC, 8, 8)
  VB_INTO(VB_TRANSFORM_DATA, 8, 8)
  VB_INTO(VB_TRANSFORM_FILTER, 8, 3)  // F(6, 3)
  VB_BACK(6, 8)
  VB_INTO(VB_TRANSFORM_FILTER, 8, 6)  // F(3, 6)
  VB_BACK(3, 8)
  VB_INTO(VB_TRANSFORM_FILTER, 8, 5)  // F(4, 5)
  VB_BACK(4, 8)
  VB_INTO(VB_TRANSFORM_FILTER, 8, 4)  // F(5, 4)
  VB_BACK(5, 8)
  return 0;
}
#undef VB_CASE
#undef VB_IS
#undef VB_INTO
#undef VB_BACK
#undef VB_DENSE
#undef VB_MONIC

// The channels that are left, fewer than a vector, through `known`: by way of tiles with zeros in the other lanes. 0 where `known`
// has no such matrices.
static int VB_N(rest)(const vb_transform *left, const vb_transform *right, const vb_transform_layout *layout,
                      ptrdiff_t lanes, const VB_T *in, VB_T *out, const VB_T *bias) {
  vb_transform_layout y = *layout;
  VB_N(vector) tile[64], result[64], shift = {0};
  const ptrdiff_t height = y.row1 - y.row0, width = y.column1 - y.column0;
  if (left->rows > 8 || left->columns > 8 || right->rows > 8 || right->columns > 8) return 0;
  for (ptrdiff_t j = 0; j < height; j++)
    for (ptrdiff_t w = 0; w < width; w++) {
      VB_T *to = (VB_T *)&tile[j * width + w];
      const VB_T *from = in + j * y.in_row + w * y.in_column;
      tile[j * width + w] = (VB_N(vector)){0};
      for (ptrdiff_t l = 0; l < lanes; l++) to[l] = from[l];
    }
  if (bias)
    for (ptrdiff_t l = 0; l < lanes; l++) ((VB_T *)&shift)[l] = bias[l];
  const ptrdiff_t rows = y.out_rows, columns = y.out_columns, out_row = y.out_row, out_column = y.out_column;
  if (y.accumulate)
    for (ptrdiff_t r = 0; r < rows; r++)
      for (ptrdiff_t q = 0; q < columns; q++) {
        result[r * columns + q] = (VB_N(vector)){0};
        for (ptrdiff_t l = 0; l < lanes; l++)
          ((VB_T *)&result[r * columns + q])[l] = out[r * out_row + q * out_column + l];
      }
  y.n = VB_VL;
  y.in_row = width * VB_VL;
  y.in_column = VB_VL;
  y.out_row = columns * VB_VL;
  y.out_column = VB_VL;
  y.prefetch_columns = 0;
  if (!VB_N(known)(left, right, &y, (const VB_T *)tile, (VB_T *)result, bias ? (const VB_T *)&shift : NULL)) return 0;
  for (ptrdiff_t r = 0; r < rows; r++)
    for (ptrdiff_t q = 0; q < columns; q++)
      for (ptrdiff_t l = 0; l < lanes; l++)
        out[r * out_row + q * out_column + l] = ((const VB_T *)&result[r * columns + q])[l];
  return 1;
}

static void VB_N(two)(const vb_transform *left, const vb_transform *right, const vb_transform_layout *layout,
                      const VB_T *in, VB_T *out, const VB_T *bias) {
  const vb_transform_layout *y = layout;
  VB_N(vector) middle[VB_TRANSFORM_MAX * VB_ROW];
  uint32_t height = y->row1 - y->row0, width = y->column1 - y->column0;
  ptrdiff_t n = (ptrdiff_t)y->n, c = VB_N(known)(left, right, y, in, out, bias);
  if (c < n && n - c < VB_VL && VB_N(rest)(left, right, y, n - c, in + c, out + c, bias ? bias + c : NULL)) return;
  for (; c < n; c += VB_VL) {
    VB_N(finish) finish = {bias ? bias + c : NULL, y->accumulate, y->relu, n - c < VB_VL ? n - c : VB_VL};
    for (uint32_t j = 0; j < height && y->prefetch_columns; j++)
      for (uint32_t w = 0; w < y->prefetch_columns; w++)
        __builtin_prefetch(in + c + (ptrdiff_t)j * y->in_row + (ptrdiff_t)(width + w) * y->in_column);
    if (finish.lanes == VB_VL) {
      VB_N(lines_plain)(width, left, y->out_rows, y->row0, y->row1, in + c, y->in_row, y->in_column, (VB_T *)middle,
                        VB_ROW * VB_VL, VB_VL);
    } else {
      VB_N(vector) edge[VB_TRANSFORM_MAX * VB_TRANSFORM_MAX];
      for (uint32_t j = 0; j < height; j++) {
        for (uint32_t w = 0; w < width; w++) {
          const VB_T *from = in + c + (ptrdiff_t)j * y->in_row + (ptrdiff_t)w * y->in_column;
          VB_T lane[VB_BYTES / sizeof(VB_T)] = {0};
          for (ptrdiff_t l = 0; l < finish.lanes; l++) lane[l] = from[l];
          edge[j * width + w] = *(const VB_N(loose) *)lane;
        }
      }
      VB_N(lines_plain)(width, left, y->out_rows, y->row0, y->row1, (const VB_T *)edge, (ptrdiff_t)width * VB_VL,
                        VB_VL, (VB_T *)middle, VB_ROW * VB_VL, VB_VL);
    }
    if (finish.lanes == VB_VL && !finish.bias && !finish.accumulate && !finish.relu)
      VB_N(lines_plain)(y->out_rows, right, y->out_columns, y->column0, y->column1, (const VB_T *)middle, VB_VL,
                        VB_ROW * VB_VL, out + c, y->out_column, y->out_row);
    else
      VB_N(lines_finish)(y->out_rows, right, y->out_columns, y->column0, y->column1, (const VB_T *)middle, VB_VL,
                         VB_ROW * VB_VL, out + c, y->out_column, y->out_row, &finish);
  }
}

#undef VB_T
#undef VB_S
#undef VB_N
#undef VB_VL
#undef VB_ROW
#undef VB_LINES
#undef VB_LINES_SWITCH
