// The pathwise derivative of a standard Student-t variate in its degrees of freedom, by quadrature of the score.
//
// The mathematics is that of src/reparam/special/student_t.py: over (0, t) where the score at t is positive, over the
// tail beyond t elsewhere, on the axis w = asinh(t / sqrt(nu)).
#pragma once

#include "digamma.hpp"
#include "tail_pieces.hpp"
#include "wide.hpp"

namespace reparam::REPARAM_ARCH::student_t {

constexpr int NODES = 56;

// psi(z + 1/2) - psi(z) - 1 / (2 z)
inline D digamma_half_step_excess(D z) {
  const D near = z + double(DIGAMMA_SHIFT), inverse = 1.0 / near, half = 0.5 * inverse;
  D slope = asymptotic_slope(inverse, 1.0 / (near + 0.5));
  for (int k = 0; k < DIGAMMA_SHIFT; k++) {
    const D step = z + double(k);
    slope += 0.5 / (step * (step + 0.5) * (step + 1.0));
  }
  return 0.5 * slope - log1p_excess(half, log1p<double>(half));
}

// The log-density of t, less its peak, and twice the derivative of the whole in nu.
struct Point {
  D log_kernel, score;
};

struct Law {
  D nu, t, log_t, log_nu, excess;
  Mask<double> inside;

  Law(D nu_, D t_) : nu(nu_), t(t_), log_nu(log<double>(nu_)), excess(digamma_half_step_excess(0.5 * nu_)) {
    inside = absolute<double>(t) < 0.4 * sqrt(nu);  // its nodes are all nearer the centre, and log t is not to be had
    log_t = log<double>(inside ? splat(1.0) : absolute<double>(t));
  }

  // At t exp(shift), finite where that overflows.
  Point at(D shift) const {
    const D log_tau = 2.0 * (log_t + shift) - log_nu;
    const auto near = inside | (log_tau < -1.3862943611198906);
    const D root = t * (near ? exp<double>(shift) : D{}), square = root * root, tau = square / nu;
    const D log1p_tau = log1p<double>(tau), short_of = log1p_excess(tau, log1p_tau);
    const Logistic odds = logistic(log_tau);
    const D share = near ? tau / (1.0 + tau) : odds.x;
    const D energy = near ? square - nu * short_of : -nu * odds.log_y;
    const D curl = near ? tau * share - short_of : -odds.log_y - share;
    return {-0.5 * (energy + (near ? log1p_tau : -odds.log_y)), excess - curl + share / nu};
  }
};

// How far beyond w the density must be followed.
inline D tail_length(D nu, D w) {
  const D start = logistic(2.0 * w).log_x;
  D length = DROP / nu + 0.6931471805599453;
  for (int i = 0; i < 4; i++) {
    const Logistic there = logistic(2.0 * (w + length));
    length = truncation_step(length, nu * (length + start - there.log_x), nu * (there.x - there.y));
  }
  return length;
}

// For finite t and positive finite nu.
inline D dt_dnu(D nu, D t) {
  const Law law(nu, t);
  const Point here = law.at(D{});
  const auto central = here.score > 0.0;
  const D w = maximum(asinh_of_positive(absolute<double>(t) / sqrt(nu)), splat(1e-100));  // at t = 0 any nodes will do
  const D reach = asinh_of_positive(central ? w : tail_length(nu, w)), fall = expm1<double>(-2.0 * w);
  D integral{};
  for (int k = 0; k < NODES; k++) {
    const auto [s, weight] = graded_node<NODES>(k, reach);
    const D node = central ? s : w + s, e = expm1<double>(-2.0 * node);
    const D shift = node - w + log<double>(e / fall);  // log(sinh(node) / sinh(w))
    const Point there = law.at(shift);
    // The weight over tanh(node).
    const D density = exp<double>(there.log_kernel - here.log_kernel + shift) * weight * (2.0 + e) / -e;
    integral = fma(there.score, density, integral);
  }
  integral *= 0.5 * reach * t;
  return central ? -integral : integral;
}

inline D dt_dnu_anywhere(D nu, D t) {
  const auto inner = absolute<double>(t) < INFINITE<double>, valid = (nu >= LEAST_SHAPE) & (nu < INFINITE<double>) & (t == t);
  const D inside = dt_dnu(valid ? nu : splat(1.0), inner ? t : D{});
  return valid ? (inner ? inside : -t) : splat(NOT_A_NUMBER<double>);
}

}  // namespace reparam::REPARAM_ARCH::student_t

namespace reparam::REPARAM_ARCH {

// in: nu, t; out: dt/dnu.
template <class T> void student_t_dt_dnu_kernel(const T *const *in, T *out, int64_t n) {
  in_double<2>(in, out, n, [](auto wide, double *results, int64_t count) {
    map(wide, results, count, [](auto at) { return student_t::dt_dnu_anywhere(at(0), at(1)); });
  });
}

}  // namespace reparam::REPARAM_ARCH
