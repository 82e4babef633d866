// Multiply-adds and STREAM's triad of one thread, for comparison with limits-probe, of which this shares no
// line. Answers `fma 0 SECONDS` with GFLOP/s (a multiply-add is 2) and `triad BYTES SECONDS` with GB/s (12
// bytes per element) on arrays of BYTES together.
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
typedef float v __attribute__((vector_size(VECTOR), may_alias));
enum { L = VECTOR / 4, K = 12 };
static double now(void) {
  struct timespec t; clock_gettime(CLOCK_MONOTONIC, &t); return t.tv_sec + 1e-9 * t.tv_nsec;
}
static double fma(v *x) {
  v y[K], a = (v){0} + 0.999f, b = (v){0} + 0.001f;
  for (int k = 0; k < K; k++) y[k] = x[k];
  for (long i = 0; i < 10000; i++)
#pragma clang loop unroll(full)
    for (int k = 0; k < K; k++) y[k] = y[k] * a + b;
  for (int k = 0; k < K; k++) x[k] = y[k];
  return 10000. * K * L * 2;
}
static double triad(float *m, long n) {
  v *restrict a = (v *)m, *restrict b = (v *)(m + n), *restrict c = (v *)(m + 2 * n), s = (v){0} + 0.5f;
  long passes = 1 + 4000000 / (12 * n);
  for (long p = 0; p < passes; p++) {
#pragma clang loop unroll_count(16)
    for (long i = 0; i < n / L; i++) a[i] = b[i] + s * c[i];
    __asm__ volatile("" ::: "memory");
  }
  return 12. * n * passes;
}
int main(void) {
  char kind[8]; long bytes; double seconds; static v x[K];
  while (scanf("%7s %ld %lf", kind, &bytes, &seconds) == 3) {
    long n = bytes / 12 / 1024 * 1024, huge = 2 << 20, size = (bytes / huge + 1) * huge;
    float *m = aligned_alloc(huge, size);  // each time anew: which pages one gets is part of the chance
    madvise(m, size, MADV_HUGEPAGE);
    for (long i = 0; i < 3 * n; i++) m[i] = 1;
    double start = now(), end, done = 0;  // a millisecond, and all memory once, before it counts
    do { if (n) triad(m, n); else fma(x); } while (now() < start + 1e-3);
    start = now();
    do { done += n ? triad(m, n) : fma(x); end = now(); } while (end < start + seconds);
    printf("%.6g\n", 1e-9 * done / (end - start)); fflush(stdout); free(m);
  }
}
