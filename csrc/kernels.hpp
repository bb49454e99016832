// What one instruction set offers: plain tables of function pointers, the only thing its translation unit exports.
#pragma once

#include <cstdint>

namespace reparam {

// Elements handed to a kernel at a time: a few arrays of them stay in the first-level cache.
constexpr int64_t BLOCK = 2048;
constexpr int MOST_INPUTS = 4;
// A shape below it counts as out of range, in the reference too: its reciprocal, or a few of them, leaves the floats.
constexpr double LEAST_SHAPE = 1e-300;

// out[i] = f(in[0][i], ..., in[inputs - 1][i]) for i < n, n at most BLOCK; every array contiguous.
template <class T> using ElementwiseKernel = void (*)(const T *const *in, T *out, int64_t n);

struct Elementwise {
  const char *name;
  int inputs;
  ElementwiseKernel<float> f32;
  ElementwiseKernel<double> f64;
};

// Where a draw's random words stand: see philox.hpp. The draw has rows of row_length numbers; row r is numbered
// rows[r], or first_row + r where there is no such list.
struct Stream {
  uint64_t seed;
  uint32_t step, tag;
  int64_t first_row;
  const int64_t *rows;
  int64_t row_length;
};

// The laws with parameters, in the order of the samplers below.
constexpr const char *LAWS[] = {"gamma", "log_gamma", "von_mises", "poisson", "binomial"};
constexpr int LAW_COUNT = sizeof(LAWS) / sizeof(LAWS[0]);

// The numbers [begin, end) of a draw, at most BLOCK of them.
template <class T> struct Samplers {
  using Fill = void (*)(const Stream &, int64_t begin, int64_t end, T *out);
  using Variates = void (*)(const Stream &, int64_t begin, int64_t end, const T *const *parameters, T *out);
  Fill uniform, normal, exponential;
  void (*scaled_normal)(const Stream &, int64_t begin, int64_t end, const T *loc, const T *scale, T *out);
  Variates variates[LAW_COUNT];
};

struct Kernels {
  const char *name;
  const Elementwise *elementwise;
  int elementwise_count;
  Samplers<float> f32;
  Samplers<double> f64;

  template <class T> const Samplers<T> &samplers() const {
    if constexpr (sizeof(T) == 4)
      return f32;
    else
      return f64;
  }
};

}  // namespace reparam
