// Coefficient matrices of small constant transforms in the kernels' forms.
#include "include/vb_transform.h"

// Element (i, j) of a row-major matrix with `columns` columns.
#define AT(i, j) m[(i) * columns + (j)]

// Rows 2p + 1 and 2p + 2 have equal odd and opposite even columns.
static int has_row_pairs(size_t rows, size_t columns, const double *m) {
  if (rows < 4 || rows % 2) return 0;
  for (size_t i = 1; i + 1 < rows; i += 2)
    for (size_t j = 0; j < columns; j++)
      if (AT(i + 1, j) != (j % 2 ? AT(i, j) : -AT(i, j))) return 0;
  return 1;
}

// Bt: pairs between a first row of even and a last row of odd columns; pairs are zero in their outer columns.
static int is_data(size_t rows, size_t columns, const double *m) {
  if (rows != columns || !has_row_pairs(rows, columns, m)) return 0;
  for (size_t j = 0; j < columns; j++) {
    if (j % 2 ? AT(0, j) != 0 : AT(rows - 1, j) != 0) return 0;
  }
  for (size_t i = 1; i + 1 < rows; i++)
    if (AT(i, 0) != 0 || AT(i, columns - 1) != 0) return 0;
  return AT(rows - 1, columns - 1) == 1;
}

// G: pairs between the first and the last unit vector (the first scaled).
static int is_filter(size_t rows, size_t columns, const double *m) {
  if (rows == columns || !has_row_pairs(rows, columns, m)) return 0;
  for (size_t j = 1; j < columns; j++)
    if (AT(0, j) != 0) return 0;
  for (size_t j = 0; j + 1 < columns; j++)
    if (AT(rows - 1, j) != 0) return 0;
  return AT(rows - 1, columns - 1) == 1;
}

// At: columns 2p + 1 and 2p + 2 are equal in even and opposite in odd rows, all ones in the first row; the outer columns are unit
// vectors.
static int is_output(size_t rows, size_t columns, const double *m) {
  if (rows < 2 || rows >= columns || columns < 4 || columns % 2) return 0;
  for (size_t i = 0; i < rows; i++) {
    if (AT(i, 0) != (i == 0) || AT(i, columns - 1) != (i == rows - 1)) return 0;
    for (size_t j = 1; j + 1 < columns; j += 2)
      if (AT(i, j + 1) != (i % 2 ? -AT(i, j) : AT(i, j)) || (i == 0 && AT(i, j) != 1)) return 0;
  }
  return 1;
}

// Whether Bt is monic, and then its coefficients: sign * x[n-2] leads e and a * sign * x[n-3] leads o, where all coefficients of
// o are exact multiples of a also in float.
static int make_monic(vb_transform *transform, size_t n, const double *m) {
  const size_t columns = n;
  const double sign = n % 4 ? -1 : 1;
  size_t next = 0;
  if (n > 8 || AT(0, n - 2) != -sign) return 0;
  for (size_t i = 1; i + 1 < n; i += 2) {
    const double a = sign * AT(i, n - 3);
    if (a == 0 || AT(i, n - 2) != sign) return 0;
    for (size_t j = 2; j + 2 < n; j += 2) transform->monic_f64[next++] = AT(i, j);
    for (size_t j = 1; j + 3 < n; j += 2) {
      const double ratio = AT(i, j) / a;
      if (ratio * a != AT(i, j) || (double)(float)ratio != ratio || (double)(float)a != a ||
          (double)(float)AT(i, j) != AT(i, j))
        return 0;
      transform->monic_f64[next++] = ratio;
    }
    transform->monic_f64[next++] = a;
  }
  for (size_t e = 0; e < next; e++) transform->monic_f32[e] = (float)transform->monic_f64[e];
  return 1;
}

static vb_transform_form form(vb_transform *transform, size_t rows, size_t columns, const double *m) {
  if (rows * columns > 64) return VB_TRANSFORM_PLAIN;
  if (is_data(rows, columns, m)) return make_monic(transform, rows, m) ? VB_TRANSFORM_MONIC : VB_TRANSFORM_DATA;
  if (is_filter(rows, columns, m)) return VB_TRANSFORM_FILTER;
  return is_output(rows, columns, m) ? VB_TRANSFORM_OUTPUT : VB_TRANSFORM_PLAIN;
}

int vb_transform_init(vb_transform *transform, size_t rows, size_t columns, const double *coefficients) {
  if (!rows || !columns || rows > VB_TRANSFORM_MAX || columns > VB_TRANSFORM_MAX) return -1;
  transform->rows = (uint32_t)rows;
  transform->columns = (uint32_t)columns;
  uint16_t next = 0;
  for (size_t i = 0; i < rows; i++) {
    transform->start[i] = next;
    for (size_t j = 0; j < columns; j++) {
      double value = coefficients[i * columns + j];
      if (rows * columns <= 64) {
        transform->dense_f32[i * columns + j] = (float)value;
        transform->dense_f64[i * columns + j] = value;
      }
      if (value == 0) continue;
      transform->column[next] = (uint8_t)j;
      transform->f64[next] = value;
      transform->f32[next] = (float)value;
      next++;
    }
  }
  transform->start[rows] = next;
  transform->form = form(transform, rows, columns, coefficients);
  return 0;
}
