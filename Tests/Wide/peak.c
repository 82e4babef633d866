// Multiply-adds, a sum, a fill and STREAM's triad of one thread, for comparison with limits-probe, of which
// this shares no line. Answers `fma 0 SECONDS` with GFLOP/s (a multiply-add is 2) and `read`, `write` or `triad
// BYTES SECONDS` with GB/s (4, 4 and 12 bytes per element) on arrays of BYTES together; before, says `ready` and
// waits for a word.
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
typedef float v __attribute__((vector_size(VECTOR), may_alias));
typedef unsigned u __attribute__((vector_size(VECTOR), may_alias));
#define NEXT_PASS __asm__ volatile("" : : : "memory")
enum { L = VECTOR / 4, K = 12, S = 8 };
static double now(void) {
  struct timespec t; clock_gettime(CLOCK_MONOTONIC, &t); return t.tv_sec + 1e-9 * t.tv_nsec;
}
static void fma(float *m, long n, long passes) {
  v *x = (v *)m, y[K], a = (v){0} + 0.999f, b = (v){0} + 0.001f;
  for (int k = 0; k < K; k++) y[k] = x[k];
  for (long i = 0; i < n * passes; i++)
#pragma clang loop unroll(full)
    for (int k = 0; k < K; k++) y[k] = y[k] * a + b;
  for (int k = 0; k < K; k++) x[k] = y[k];
}
static void sum(float *m, long n, long passes) {
  u s[S] = {0};
  for (long p = 0; p < passes; p++) {
    for (u *x = (u *)m, *end = x + n / L; x < end; x += S)
#pragma clang loop unroll(full)
      for (int k = 0; k < S; k++) s[k] += x[k];
    NEXT_PASS;
  }
  for (int k = 0; k < S; k++) __asm__ volatile("" : : "x"(s[k]));  // somebody wants to know
}
static void fill(float *m, long n, long passes) {
  u *x = (u *)m, one = *x;  // a value that the compiler does not know, so that it cannot call memset
  for (long p = 0; p < passes; p++) {
#pragma clang loop unroll_count(16)
    for (long i = 0; i < n / L; i++) x[i] = one;
    NEXT_PASS;
  }
}
static void triad(float *m, long n, long passes) {
  v *restrict a = (v *)m, *restrict b = (v *)(m + n), *restrict c = (v *)(m + 2 * n), s = (v){0} + 0.5f;
  for (long p = 0; p < passes; p++) {
#pragma clang loop unroll_count(16)
    for (long i = 0; i < n / L; i++) a[i] = b[i] + s * c[i];
    NEXT_PASS;
  }
}
int main(void) {
  char kind[8]; long bytes; double seconds;
  while (scanf("%7s %ld %lf", kind, &bytes, &seconds) == 3) {
    int arrays = *kind == 't' ? 3 : 1;
    void (*work)(float *, long, long) = *kind == 'f' ? fma : *kind == 'r' ? sum : *kind == 'w' ? fill : triad;
    long n = bytes / 4 / arrays / 1024 * 1024, huge = 2 << 20, size = (bytes / huge + 1) * huge;
    float *m = aligned_alloc(huge, size);  // each time anew: which pages one gets is part of the chance
    madvise(m, size, MADV_HUGEPAGE);
    for (long i = 0; i < size / 4; i++) m[i] = 1;
    if (*kind == 'f') n = 10000;
    double each = *kind == 'f' ? 2. * K * L * n : 4. * arrays * n, done = 0;
    long passes = 1 + 4e6 / each;
    double start = now(), end;  // a millisecond, and all memory once, before it counts
    do work(m, n, 1); while (now() < start + 1e-3);
    // Copies of this begin together.
    puts("ready"); fflush(stdout);
    if (scanf("%7s", kind) != 1) break;
    start = now();
    do { work(m, n, passes); done += passes * each; end = now(); } while (end < start + seconds);
    printf("%.6g\n", 1e-9 * done / (end - start)); fflush(stdout); free(m);
  }
}
