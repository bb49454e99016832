// The pathwise derivative of the logit of a Beta(a, b) variate in a.
//
// Where it converges fast, the power series of the distribution function, F / p(u) = sum_k x^k (a + b)_k / (a)_{k+1},
// differentiated term by term; elsewhere quadrature over the nearer tail, as in src/reparam/special/_beta_tail.py.
#pragma once

#include "regions.hpp"
#include "tail_pieces.hpp"
#include "wide.hpp"

namespace reparam::REPARAM_ARCH::beta {

constexpr int NODES = 56;

// psi(a + b) - psi(a), to relative precision however small b / a is.
inline D digamma_difference(D a, D b) {
  const D near = a + double(DIGAMMA_SHIFT);
  D slope = asymptotic_slope(near, near + b);
  for (int k = 0; k < DIGAMMA_SHIFT; k += 2) {
    const D low = a + double(k), high = low + 1.0, first = low * (low + b), second = high * (high + b);
    slope += (first + second) / (first * second);
  }
  return log1p<double>(b / near) + b * slope;
}

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
inline D anywhere(D a, D b, D u) {
  const auto inner = absolute<double>(u) < INFINITE<double>, valid = in_domain(a, b);
  const D one = splat(1.0), safe_a = valid ? a : one, safe_b = valid ? b : one;
  const D inside = by_quadrature(safe_a, safe_b, inner ? u : D{});
  if (all(inner & valid)) return inside;
  const D end = u < 0.0 ? splat(INFINITE<double>) : digamma_difference(safe_a, safe_b) / safe_b;
  return valid & (u == u) ? (inner ? inside : end) : splat(NOT_A_NUMBER<double>);
}

// The side from which the series is summed, lower or mirrored: in a tail that tail's, so that nothing cancels; near the
// centre, where both would do, the one on which x is at most 1/2.
struct Side {
  Mask<double> lower;
  D p, q, v;

  Side(D a, D b, D u) {
    const D off = u - log<double>((a + 0.5) / (b + 0.5));
    const auto right = off > 0.0;  // the two flanks differ: exponential, of rate a and b, and Gaussian or Gumbel
    const auto central = off * off < 2.0 / (right ? a + 1.0 : a) + 2.0 / (right ? b : b + 1.0);
    lower = central ? u <= 0.0 : off <= 0.0;
    p = lower ? a : b;
    q = lower ? b : a;
    v = lower ? u : -u;
  }
};

template <int TERMS> inline D by_series(D a, D b, D u) {
  const Side side(a, b, u);
  const auto lower = side.lower;
  const Logistic at = logistic(side.v);
  const D p = side.p, total = a + b, difference = digamma_difference(lower ? p + 1.0 : side.q, lower ? side.q : p);
  // The k-th term's derivative of its own logarithm: psi(p + k + 1) - psi(p + q + k) - log x in p, or
  // psi(p + q + k) - psi(q) + log(1 - x) in q.
  D slope = lower ? 1.0 / total - difference - at.log_x : difference + at.log_y;
  D term = 1.0 / p, sum = term * slope;
  const D raise = lower ? splat(1.0) : D{}, fall = lower ? splat(-1.0) : splat(1.0);
  for (int k = 0; k < TERMS; k++) {
    const D above = total + double(k), below = p + double(k + 1), both = 1.0 / (above * below);
    term *= at.x * (above * above * both);
    slope = fma(raise, above * both, fma(fall, below * both, slope));
    sum = fma(term, slope, sum);
  }
  return sum;
}

enum Region { SHORT_SERIES, MIDDLE_SERIES, LONG_SERIES, QUADRATURE, REGIONS };
constexpr int SHORT = 24, MIDDLE = 40, LONG = 72;

// Whether the ratio of terms halfway down the series is below a bound at which the last is negligible.
template <int TERMS> inline auto converges(const Side &side, D x, double bound) {
  return x * (side.p + side.q + TERMS / 2.0) <= bound * (side.p + (TERMS / 2.0 + 1));
}

inline Mask<double> region_of(D a, D b, D u) {
  const Side side(a, b, u);
  const D x = logistic(side.v).x;
  const auto sane = in_domain(a, b) & (a + b < 1e100) & (absolute<double>(u) < 700.0);
  // Each bound that does not hold is one region further on.
  return int64_t(QUADRATURE) + (sane & converges<LONG>(side, x, 0.6)) + (sane & converges<MIDDLE>(side, x, 0.42)) +
         (sane & converges<SHORT>(side, x, 0.2));
}

inline void in_region(int region, const double *const *in, double *out, int64_t n) {
  switch (region) {
    case SHORT_SERIES: return map(in, out, n, [](auto at) { return by_series<SHORT>(at(0), at(1), at(2)); });
    case MIDDLE_SERIES: return map(in, out, n, [](auto at) { return by_series<MIDDLE>(at(0), at(1), at(2)); });
    case LONG_SERIES: return map(in, out, n, [](auto at) { return by_series<LONG>(at(0), at(1), at(2)); });
    default: return map(in, out, n, [](auto at) { return anywhere(at(0), at(1), at(2)); });
  }
}

inline void dlogit_da(const double *const *in, double *out, int64_t n) {
  by_regions<REGIONS, 3>(in, out, n, [](auto at) { return region_of(at(0), at(1), at(2)); }, in_region);
}

// The derivative in b is minus that of -u in its own first concentration.
template <bool SECOND> inline void dlogit(const double *const *in, double *out, int64_t n) {
  if constexpr (!SECOND) return dlogit_da(in, out, n);
  alignas(64) double mirrored[BLOCK];
  map(in + 2, mirrored, n, [](auto at) { return -at(0); });
  const double *const swapped[] = {in[1], in[0], mirrored};
  dlogit_da(swapped, out, n);
  const double *const results[] = {out};
  map(results, out, n, [](auto at) { return -at(0); });
}

template <bool SECOND> inline void dx(const double *const *in, double *out, int64_t n) {
  alignas(64) double logits[BLOCK];
  map(in + 2, logits, n, [](auto at) { return log<double>(at(0)) - log1p<double>(-at(0)); });
  const double *const points[] = {in[0], in[1], logits};
  dlogit<SECOND>(points, out, n);
  const double *const pairs[] = {in[2], out};
  map(pairs, out, n, [](auto at) {
    const D x = at(0), slope = at(1), product = x * (1.0 - x);
    return (product == 0.0) & (slope == slope) ? D{} : product * slope;
  });
}

}  // namespace reparam::REPARAM_ARCH::beta

namespace reparam::REPARAM_ARCH {

// in: a, b, u; out: du/da.
template <class T> void beta_dlogit_da_kernel(const T *const *in, T *out, int64_t n) {
  in_double<3>(in, out, n, beta::dlogit<false>);
}

// in: a, b, u; out: du/db.
template <class T> void beta_dlogit_db_kernel(const T *const *in, T *out, int64_t n) {
  in_double<3>(in, out, n, beta::dlogit<true>);
}

// in: a, b, x; out: dx/da.
template <class T> void beta_dx_da_kernel(const T *const *in, T *out, int64_t n) {
  in_double<3>(in, out, n, beta::dx<false>);
}

// in: a, b, x; out: dx/db.
template <class T> void beta_dx_db_kernel(const T *const *in, T *out, int64_t n) {
  in_double<3>(in, out, n, beta::dx<true>);
}

}  // namespace reparam::REPARAM_ARCH
