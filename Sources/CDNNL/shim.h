#include <oneapi/dnnl/dnnl.h>
// Debian's oneDNN runs on OpenMP, whose header belongs to the compiler and not to the system.
int omp_get_max_threads(void);
void omp_set_num_threads(int);
// OpenMP 5.0, section 3.2.44: 1 is omp_pause_soft, which ends the threads that poll for work.
int omp_pause_resource_all(int);
// What a compiler makes of "#pragma omp parallel" for libgomp.
void GOMP_parallel(void (*)(void *), void *, unsigned threads, unsigned flags);
