// What one instruction set offers: plain tables of function pointers, the only thing its translation unit exports.
#pragma once

#include <cstdint>

namespace reparam {

// Elements handed to a kernel at a time: a few arrays of them stay in the first-level cache.
constexpr int64_t BLOCK = 2048;
constexpr int MOST_INPUTS = 4;

// out[i] = f(in[0][i], ..., in[inputs - 1][i]) for i < n, n at most BLOCK; every array contiguous.
template <class T> using ElementwiseKernel = void (*)(const T *const *in, T *out, int64_t n);

struct Elementwise {
  const char *name;
  int inputs;
  ElementwiseKernel<float> f32;
  ElementwiseKernel<double> f64;
};

struct Kernels {
  const char *name;
  const Elementwise *elementwise;
  int elementwise_count;
};

}  // namespace reparam
