#include "copenblascontrol.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

// Exported by the builds of OpenBLAS that choose their core at run time, though no header declares them. Weak, so that this file
// links where OpenBLAS is absent or was built for one core.
extern void gotoblas_dynamic_init(void) __attribute__((weak));
extern void gotoblas_dynamic_quit(void) __attribute__((weak));
extern char *openblas_get_corename(void) __attribute__((weak));

static const char variable[] = "OPENBLAS_CORETYPE";

static int is_one_of(const char *name, const char *const *names) {
  for (; *names; names++)
    if (!strcasecmp(name, *names)) return 1;
  return 0;
}

int vb_openblas_cpu_runs(const char *core) {
#if defined(__x86_64__)
  static const char *const avx512[] = {"SkylakeX", "Cooperlake", "SapphireRapids", 0};
  static const char *const avx2[] = {"Haswell", "Zen", "Excavator", 0};
  static const char *const avx[] = {"Sandybridge", "Bulldozer", "Piledriver", "Steamroller", 0};
  __builtin_cpu_init();
  if (is_one_of(core, avx512)) {
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl")
        && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq");
  }
  if (is_one_of(core, avx2)) return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  if (is_one_of(core, avx)) return __builtin_cpu_supports("avx") != 0;
#else
  (void)core;
#endif
  return 1;
}

static void choose_again(const char *core) {
  if (core)
    setenv(variable, core, 1);
  else
    unsetenv(variable);
  gotoblas_dynamic_quit();
  gotoblas_dynamic_init();
}

int vb_openblas_set_core(const char *core) {
  if (!gotoblas_dynamic_init || !gotoblas_dynamic_quit || !openblas_get_corename) return VB_OPENBLAS_FIXED;
  const char *set = getenv(variable);
  char *environment = set ? strdup(set) : 0;
  char *before = strdup(openblas_get_corename());
  if ((set && !environment) || !before) {
    free(environment);
    free(before);
    return VB_OPENBLAS_REFUSED;
  }
  choose_again(core);
  int result = VB_OPENBLAS_OK;
  if (core && strcasecmp(openblas_get_corename(), core)) {
    result = VB_OPENBLAS_REFUSED;
    choose_again(before);
  }
  if (environment)
    setenv(variable, environment, 1);
  else
    unsetenv(variable);
  free(environment);
  free(before);
  return result;
}
