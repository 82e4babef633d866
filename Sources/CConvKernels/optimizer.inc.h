// Optimizer steps for one instruction set; a plain loop that the compiler vectorises: 8 factors and 5 values live, square
// root and division are the limit until the arrays leave the cache. Expects VB_ISA.
#define VB_N(x) VB_JOIN(x, VB_JOIN(_, VB_ISA))

static void VB_N(adam)(size_t n, const vb_adam *factors, float *restrict p, const float *restrict g,
                       float *restrict m, float *restrict v) {
  const vb_adam f = *factors;
  for (size_t i = 0; i < n; i++) {
    float start = p[i] * f.keep, gradient = g[i] + f.decay * start;
    float mean = m[i] + f.new1 * (gradient - m[i]);
    float square = f.keep2 * v[i] + f.new2 * gradient * gradient;
    m[i] = mean;
    v[i] = square;
    p[i] = start - f.rate * mean / (__builtin_sqrtf(square) / f.root + f.eps);
  }
}

static void VB_N(sgd)(size_t n, const vb_sgd *factors, int nesterov, float *restrict p, const float *restrict g,
                      float *restrict v) {
  const vb_sgd f = *factors;
  if (!v) {
    for (size_t i = 0; i < n; i++) p[i] -= f.rate * (g[i] + f.decay * p[i]);
    return;
  }
  for (size_t i = 0; i < n; i++) {
    float gradient = g[i] + f.decay * p[i];
    float velocity = f.keep * v[i] + f.take * gradient;
    v[i] = velocity;
    // A condition that does not change in the loop: the compiler makes two loops.
    p[i] -= f.rate * (nesterov ? gradient + f.keep * velocity : velocity);
  }
}

const vb_optimizer_table VB_JOIN(vb_optimizer_, VB_ISA) = {VB_N(adam), VB_N(sgd)};
