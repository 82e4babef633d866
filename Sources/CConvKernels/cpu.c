#define _GNU_SOURCE
#include "vb_cpu.h"

#include <sys/syscall.h>
#include <unistd.h>

#include "vb_isa.h"

#if defined(__x86_64__)
#include <cpuid.h>

// CPUID leaves that __builtin_cpu_supports has no names for in all compilers.
static uint32_t extensions(void) {
  unsigned a, b, c, d;
  uint32_t features = 0;
  if (__get_cpuid_count(7, 0, &a, &b, &c, &d)) {
    if (d >> 22 & 1) features |= VB_CPU_AMX_BF16;
    if (d >> 23 & 1) features |= VB_CPU_AVX512_FP16;
  }
  if (__get_cpuid_count(7, 1, &a, &b, &c, &d) && (a >> 5 & 1)) features |= VB_CPU_AVX512_BF16;
  // Without AVX-512, in hardware or in the system, none of these can be used.
  if (!vb_kernels_named("avx512")) features = 0;
  if (__get_cpuid(0x80000001, &a, &b, &c, &d)) {
    if ((c >> 16 & 1) && __builtin_cpu_supports("avx")) features |= VB_CPU_FMA4;
    if (d >> 31 & 1) features |= VB_CPU_3DNOW;
  }
  return features;
}

uint32_t vb_cpu_features(void) {
  __builtin_cpu_init();
  uint32_t features = extensions();
  if (__builtin_cpu_supports("avx")) features |= VB_CPU_AVX;
  if (vb_kernels_named("avx2")) features |= VB_CPU_AVX2_FMA;
  if (vb_kernels_named("avx512")) features |= VB_CPU_AVX512;
  return features;
}
#else
uint32_t vb_cpu_features(void) { return 0; }
#endif

size_t vb_cpu_affinity(uint64_t *words, size_t count) {
  // The call itself says how much it wrote, its wrapper does not.
  long bytes = syscall(SYS_sched_getaffinity, 0, count * sizeof *words, words);
  return bytes > 0 ? (size_t)bytes / sizeof *words : 0;
}
