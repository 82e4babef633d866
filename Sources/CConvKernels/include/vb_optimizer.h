// Optimizer steps: one pass over parameters, gradients and moments.
#pragma once
#include <stddef.h>
#include "vb_isa.h"

/// Factors of one Adam step (D. P. Kingma, J. Ba, *Adam: a method for stochastic optimization*, 2015, algorithm 1).
typedef struct vb_adam {
  /// Of the parameter before the step: decoupled weight decay.
  float keep;
  /// Of the parameter in the gradient: coupled weight decay.
  float decay;
  /// 1 - beta1, beta2, 1 - beta2.
  float new1, keep2, new2;
  /// learning rate / (1 - beta1^t), sqrt(1 - beta2^t), eps.
  float rate, root, eps;
} vb_adam;

/// s = p * keep; g' = g + decay * s; m += new1 * (g' - m); v = keep2 * v + new2 * g'^2;
/// p = s - rate * m / (sqrt(v) / root + eps).
void vb_adam_f32(const vb_kernels *kernels, size_t n, const vb_adam *factors, float *p, const float *g, float *m,
                 float *v);

/// Factors of one step of stochastic gradient descent with momentum.
typedef struct vb_sgd {
  /// Learning rate; of the parameter in the gradient (weight decay); of the velocity before; of the gradient in the velocity.
  float rate, decay, keep, take;
} vb_sgd;

/// g' = g + decay * p; v = keep * v + take * g'; p -= rate * v, or with `nesterov` p -= rate * (g' + keep * v).
/// With v = NULL, p -= rate * g'.
void vb_sgd_f32(const vb_kernels *kernels, size_t n, const vb_sgd *factors, int nesterov, float *p, const float *g,
                float *v);
