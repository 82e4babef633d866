#include <oneapi/dnnl/dnnl.h>
// Debian's oneDNN runs on OpenMP, whose header belongs to the compiler and not to the system.
int omp_get_max_threads(void);
void omp_set_num_threads(int);
