#include "kernels.h"
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

// All kernels of one instruction set; the tables are defined by its kern_*.c.
#define VB_KERNELS(NAME, BYTES, ISA)                                                                          \
  {.name = NAME,                                                                                              \
   .vector_bytes = BYTES,                                                                                     \
   .gemm_f32 = &vb_gemm_f32_##ISA,                                                                            \
   .gemm_f64 = &vb_gemm_f64_##ISA,                                                                            \
   .transform = &vb_transform_##ISA,                                                                          \
   .elementwise = &vb_elementwise_##ISA,                                                                      \
   .lines_f32 = &vb_lines_f32_##ISA,                                                                          \
   .lines_f64 = &vb_lines_f64_##ISA,                                                                          \
   .pooling = &vb_pooling_##ISA,                                                                              \
   .normalization = &vb_normalization_##ISA,                                                                  \
   .optimizer = &vb_optimizer_##ISA,                                                                          \
   .direct_f32 = &vb_direct_f32_##ISA,                                                                        \
   .direct_f64 = &vb_direct_f64_##ISA,                                                                        \
   .fourier = &vb_fourier_##ISA,                                                                              \
   .spectral = &vb_spectral_##ISA,                                                                           \
   .limits = &vb_limits_##ISA}

static const vb_kernels baseline = VB_KERNELS("baseline", 16, base);
#if defined(__x86_64__)
static const vb_kernels avx512 = VB_KERNELS("avx512", 64, avx512);
static const vb_kernels avx2 = VB_KERNELS("avx2", 32, avx2);

static int has_avx512(void) {
  __builtin_cpu_init();
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
         __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("fma");
}

static int has_avx2(void) {
  __builtin_cpu_init();
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}
#else
static int has_avx512(void) { return 0; }
static int has_avx2(void) { return 0; }
#endif

static int find(const char *name, const vb_kernels **found) {
  if (!strcmp(name, "baseline")) {
    *found = &baseline;
    return VB_ISA_OK;
  }
#if defined(__x86_64__)
  if (!strcmp(name, "avx512") && has_avx512()) {
    *found = &avx512;
    return VB_ISA_OK;
  }
  if (!strcmp(name, "avx2") && has_avx2()) {
    *found = &avx2;
    return VB_ISA_OK;
  }
#endif
  return strcmp(name, "avx512") && strcmp(name, "avx2") ? VB_ISA_UNKNOWN : VB_ISA_MISSING;
}

static const vb_kernels *best(void) {
  const vb_kernels *found = &baseline;
  if (has_avx512()) find("avx512", &found);
  else if (has_avx2()) find("avx2", &found);
  return found;
}

static _Atomic(const vb_kernels *) current;
static int environment_status;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void choose(void) {
  const vb_kernels *found = NULL;
  const char *name = getenv("VBENCH_ISA");
  if (name && *name) environment_status = find(name, &found);
  atomic_store(&current, found ? found : best());
}

const vb_kernels *vb_kernels_current(void) {
  const vb_kernels *kernels = atomic_load_explicit(&current, memory_order_acquire);
  if (kernels) return kernels;
  pthread_once(&once, choose);
  return atomic_load(&current);
}

const vb_kernels *vb_kernels_named(const char *name) {
  const vb_kernels *found = NULL;
  return find(name, &found) == VB_ISA_OK ? found : NULL;
}

int vb_isa_select(const char *name) {
  pthread_once(&once, choose);
  const vb_kernels *found = NULL;
  if (!name || !*name) found = best();
  else {
    int status = find(name, &found);
    if (status != VB_ISA_OK) return status;
  }
  atomic_store(&current, found);
  return VB_ISA_OK;
}

int vb_isa_environment_status(void) {
  pthread_once(&once, choose);
  return environment_status;
}

const char *vb_isa_name(void) { return vb_kernels_current()->name; }
const char *vb_kernels_name(const vb_kernels *kernels) { return kernels->name; }
size_t vb_kernels_vector_bytes(const vb_kernels *kernels) { return kernels->vector_bytes; }
