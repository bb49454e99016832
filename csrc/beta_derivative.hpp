// The pathwise derivative of the logit of a Beta(a, b) variate in a, by quadrature over the nearer tail.
//
// The mathematics is that of src/reparam/special/_beta_tail.py. What only places the nodes need not be exact: the rule
// integrates over whatever length it is given.
#pragma once

#include "tail_pieces.hpp"
#include "wide.hpp"

namespace reparam::REPARAM_ARCH::beta {

constexpr int NODES = 56;

// psi(a + b) - psi(a), to relative precision however small b / a is.
inline D digamma_difference(D a, D b) {
  const D near = a + double(DIGAMMA_SHIFT);
  D slope = asymptotic_slope(near, near + b);
  for (int k = 0; k < DIGAMMA_SHIFT; k++) slope += 1.0 / ((a + double(k)) * (a + double(k) + b));
  return log1p<double>(b / near) + b * slope;
}

// How far below u the density of logit Beta(p, q) must be followed: Newton's method in logarithms of both sides.
inline D tail_length(D p, D q, D u, const Logistic &at) {
  const D height = p * at.log_x + q * at.log_y;
  D length = (DROP - (p + q) * at.log_y) / p;
  for (int i = 0; i < 4; i++) {
    const Logistic there = logistic(u - length);
    const D fall = height - p * there.log_x - q * there.log_y, slope = p * there.y - q * there.x;
    length = truncation_step(length, fall, slope);
  }
  return length;
}

// d logit x / da at fixed probability, for finite u and positive finite a and b.
inline D dlogit_da(D a, D b, D u) {
  const auto lower = u <= log<double>((a + 0.5) / (b + 0.5));
  const D p = lower ? a : b, q = lower ? b : a, v = lower ? u : -u;
  const D raised = lower ? p + 1.0 : p;
  const Logistic at = logistic(v);
  const D difference = digamma_difference(lower ? raised : q, lower ? q : p);
  // Minus the score of the raised p, or the score of q.
  const D score = lower ? -at.log_x - difference : at.log_y + difference;

  const D length = tail_length(raised, q, v, at);
  const D reach = asinh_of_positive(length);
  // log(t / x) and log((1 - t) / (1 - x)) differ by s; the smaller is computed. Right of 1, p is at least 1, s small.
  const auto left = v < 1.0;
  const D share = left ? at.x : at.y;
  D integral{};
  for (int k = 0; k < NODES; k++) {
    const auto [s, weight] = graded_node<NODES>(k, reach);
    const D small = -log1p<double>(share * expm1<double>(left ? -s : s));
    const D low = left ? small - s : small, high = left ? small : small + s;
    const D mass = weight * exp<double>(raised * low + q * high);
    integral = fma(score + (lower ? -low : high), mass, integral);
  }
  integral *= reach;
  return lower ? (score + 1.0 / (p + q) + (p + q) * at.x * integral) / p : integral;
}

inline auto in_domain(D a, D b) {
  return (a > 0.0) & (a < INFINITE<double>) & (b > 0.0) & (b < INFINITE<double>);
}

// The same everywhere: at u = -inf and inf the limits, NaN out of range.
inline D dlogit_da_anywhere(D a, D b, D u) {
  const auto inner = absolute<double>(u) < INFINITE<double>, valid = in_domain(a, b);
  const D one = splat(1.0), safe_a = valid ? a : one, safe_b = valid ? b : one;
  const D inside = dlogit_da(safe_a, safe_b, inner ? u : D{});
  if (all(inner & valid)) return inside;
  const D end = u < 0.0 ? splat(INFINITE<double>) : digamma_difference(safe_a, safe_b) / safe_b;
  return valid & (u == u) ? (inner ? inside : end) : splat(NOT_A_NUMBER<double>);
}

// dx/da for x, y = 1 - x in [0, 1]; one of the two may have been rounded to 0.
inline D dx_da(D a, D b, D x, D y, D logit) {
  const auto inner = (x > 0.0) & (y > 0.0), inside = (x >= 0.0) & (y >= 0.0);
  const D slope = x * y * dlogit_da_anywhere(a, b, inner ? logit : D{});
  return inside ? (inner | (slope != slope) ? slope : D{}) : splat(NOT_A_NUMBER<double>);
}

}  // namespace reparam::REPARAM_ARCH::beta

namespace reparam::REPARAM_ARCH {

// in: a, b, u; out: du/da.
template <class T> void beta_dlogit_da_kernel(const T *const *in, T *out, int64_t n) {
  map_in_double<3>(in, out, n, [](auto at) { return beta::dlogit_da_anywhere(at(0), at(1), at(2)); });
}

// in: a, b, u; out: du/db, by symmetry minus the derivative of -u in its own first concentration.
template <class T> void beta_dlogit_db_kernel(const T *const *in, T *out, int64_t n) {
  map_in_double<3>(in, out, n, [](auto at) { return -beta::dlogit_da_anywhere(at(1), at(0), -at(2)); });
}

// in: a, b, x; out: dx/da.
template <class T> void beta_dx_da_kernel(const T *const *in, T *out, int64_t n) {
  map_in_double<3>(in, out, n, [](auto at) {
    const auto x = at(2);
    return beta::dx_da(at(0), at(1), x, 1.0 - x, log<double>(x) - log1p<double>(-x));
  });
}

// in: a, b, x; out: dx/db.
template <class T> void beta_dx_db_kernel(const T *const *in, T *out, int64_t n) {
  map_in_double<3>(in, out, n, [](auto at) {
    const auto x = at(2);
    return -beta::dx_da(at(1), at(0), 1.0 - x, x, log1p<double>(-x) - log<double>(x));
  });
}

}  // namespace reparam::REPARAM_ARCH
