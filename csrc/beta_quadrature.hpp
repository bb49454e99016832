// The pathwise derivative of the logit of a Beta(a, b) variate in a by quadrature over the nearer tail: any a, b and u.
//
// The mathematics is that of src/reparam/special/_beta_tail.py; this is where the kernels send what their continued
// fraction and their charts do not reach, at the ends of the floats.
#pragma once

#include "digamma.hpp"
#include "kernels.hpp"
#include "tail_pieces.hpp"

namespace reparam::REPARAM_ARCH::beta {

constexpr int NODES = 56;

// How far below u the density of logit Beta(p, q) must be followed. It only places the nodes, and need not be exact.
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
inline D by_quadrature(D a, D b, D u) {
  const auto lower = u <= log<double>((a + 0.5) / (b + 0.5));
  const D p = lower ? a : b, q = lower ? b : a, v = lower ? u : -u;
  const D raised = lower ? p + 1.0 : p;
  const Logistic at = logistic(v);
  const D difference = digamma_difference<2>(lower ? raised : q, lower ? q : p);
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
  return (a >= LEAST_SHAPE) & (a < INFINITE<double>) & (b >= LEAST_SHAPE) & (b < INFINITE<double>);
}

// The same everywhere: at u = -inf and inf the limits, NaN out of range.
inline D anywhere(D a, D b, D u) {
  const auto inner = absolute<double>(u) < INFINITE<double>, valid = in_domain(a, b);
  const D one = splat(1.0), safe_a = valid ? a : one, safe_b = valid ? b : one;
  const D inside = by_quadrature(safe_a, safe_b, inner ? u : D{});
  if (all(inner & valid)) return inside;
  const D end = u < 0.0 ? splat(INFINITE<double>) : digamma_difference<2>(safe_a, safe_b) / safe_b;
  return valid & (u == u) ? (inner ? inside : end) : splat(NOT_A_NUMBER<double>);
}

}  // namespace reparam::REPARAM_ARCH::beta
