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
    // A name that cannot be set is one that only the library's own choice has.
    if (strcasecmp(openblas_get_corename(), before)) choose_again(0);
  }
  if (environment)
    setenv(variable, environment, 1);
  else
    unsetenv(variable);
  free(environment);
  free(before);
  return result;
}
