// d log x / da of a Gamma(a, 1) variate by quadrature of its score over the nearer tail: any a and x, one at a time.
//
// The mathematics is that of src/reparam/special/_gamma_core.py; this is where the kernels send what their tables and
// recurrences do not reach, beyond quantiles of 1e-12 and at the ends of the floats.
#pragma once

#include <math.h>

#include "kernels.hpp"
#include "tables/legendre.hpp"

namespace reparam::REPARAM_ARCH::gamma_quadrature {

constexpr int SHIFT = 12;
constexpr double CUTOFF = 40, FAR = 700;

// psi(a + 1) - log a
inline double digamma_excess(double a) {
  static constexpr double SLOPES[] = {1. / 12,  -1. / 120, 1. / 252, -1. / 240,
                                      1. / 132, -691. / 32760, 1. / 12, -3617. / 8160};
  const bool low = a < SHIFT;
  const double y = low ? a + SHIFT : a, r = 1 / (y * y);
  double sum = 0, steps = 0;
  for (int k = 7; k >= 0; k--) sum = sum * r + SLOPES[k];
  const double excess = 0.5 / y - r * sum;
  if (!low) return excess;
  for (int k = 1; k <= SHIFT; k++) steps += 1 / (a + k);
  return excess + ::log1p(SHIFT / a) - steps;
}

// Where exp(log p(t) - log p(x)) has fallen to exp(-CUTOFF), within a third.
inline double reach(double a, double x, double slope, bool upper) {
  if (upper) {
    const double linear = 2 * CUTOFF / (slope + ::sqrt(slope * slope + 2 * CUTOFF * x));
    return ::log1p((CUTOFF + a * linear) / x);
  }
  const double b = 2 * slope - CUTOFF;
  return 4 * CUTOFF / (b + ::sqrt(b * b + 8 * CUTOFF * (a + 1)));
}

// mu = log(x / a).
inline double dlogx_da(double a, double mu) {
  using Rule = Legendre<40>;
  const double near = ::fmin(mu, FAR - ::log(::fmax(a, 1)));
  const double x = a * ::exp(near), excess = a * ::expm1(near), gap = mu - digamma_excess(a);
  const bool upper = gap >= 0;
  const double slope = upper ? excess : 1 - excess, length = reach(a, x, slope, upper);
  double mass = 0, moment = 0;
  for (int k = 0; k < 40; k++) {
    const double t = (upper ? length : -length) * Rule::NODES[k];
    const double density = Rule::WEIGHTS[k] * ::exp((upper ? -slope : slope) * t - x * (::expm1(t) - t));
    mass += density;
    moment += density * Rule::NODES[k];
  }
  mass *= length * ::exp(near - mu);  // beyond e^FAR the tail is exponential: its length is 1 / x
  moment *= length * length;
  return upper ? (gap + 1 / a) * mass + moment : (x * moment - gap * (1 + x * mass)) / a;
}

inline double log_ratio(double a, double x) {
  return ::fabs(x - a) < 0.5 * a ? ::log1p((x - a) / a) : ::log(x) - ::log(a);
}

inline bool is_shape(double a) { return a >= LEAST_SHAPE && a < __builtin_inf(); }

inline double dx_da(double a, double x) {
  if (!is_shape(a) || !(x >= 0)) return __builtin_nan("");
  return x == 0 || __builtin_isinf(x) ? x : x * dlogx_da(a, log_ratio(a, x));
}

inline double dlogx_da_at_log(double a, double log_x) {
  if (!is_shape(a) || __builtin_isnan(log_x)) return __builtin_nan("");
  return __builtin_isinf(log_x) ? ::fmax(0.0, -log_x) : dlogx_da(a, log_x - ::log(a));
}

}  // namespace reparam::REPARAM_ARCH::gamma_quadrature
