// Lines of an image to and from column matrices: im2col's copies.
#pragma once
#include <stddef.h>
#include "vb_isa.h"

/// to[l][before + i] = from[l * from_stride + i * step] for i < length, zeros before and after: `lines` lines of
/// before + length + after elements, one behind the other.
void vb_gather_lines_f32(const vb_kernels *kernels, size_t lines, size_t before, size_t length, size_t after,
                         const float *from, size_t from_stride, size_t step, float *to);
void vb_gather_lines_f64(const vb_kernels *kernels, size_t lines, size_t before, size_t length, size_t after,
                         const double *from, size_t from_stride, size_t step, double *to);

/// to[l * to_stride + i * step] += from[l * from_stride + i] for i < length.
void vb_scatter_lines_f32(const vb_kernels *kernels, size_t lines, size_t length, const float *from,
                          size_t from_stride, float *to, size_t to_stride, size_t step);
void vb_scatter_lines_f64(const vb_kernels *kernels, size_t lines, size_t length, const double *from,
                          size_t from_stride, double *to, size_t to_stride, size_t step);
