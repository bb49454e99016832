// The pathwise derivative of the logit of a Beta(a, b) variate in a by the continued fraction of its distribution.
#pragma once

#include "digamma.hpp"

namespace reparam::REPARAM_ARCH::beta {

// Where a variate lies: x and 1 - x, each to relative precision.
struct Place {
  D x, y;
};

// The side from which the distribution function is counted, lower or mirrored: in a tail that tail's, so that nothing
// cancels; near the centre, where both would do, the one on which x is at most 1/2.
struct Side {
  Mask<double> lower;
  D p, q, x, y;

  Side(D a, D b, Place at) {
    const D low = at.x * (b + 0.5), high = at.y * (a + 0.5), gap = 2.0 * (low - high), sum = low + high;
    const auto right = gap > 0.0;  // the two flanks differ: exponential, of rate a and b, and Gaussian or Gumbel
    const D rate_a = right ? a + 1.0 : a, rate_b = right ? b : b + 1.0;
    const auto central = gap * gap * rate_a * rate_b < (rate_a + rate_b) * sum * sum;
    lower = central ? at.x <= at.y : ~right;
    p = lower ? a : b;
    q = lower ? b : a;
    x = lower ? at.x : at.y;
    y = lower ? at.y : at.x;
  }
};

// A ratio, and its derivative in the first concentration of the variate.
struct Ratio {
  D value, slope;
};

// The distribution function of Beta(p, q) over the density of its logit, at x: with t_m = m (q - m) x / (p + 2 m - 1),
//
//   1 / (c_0 + d_1 / (c_1 + d_2 / (c_2 + ...))),
//   c_m = p (1 - x) - (q - 1) x + 2 m + t_m + t_{m + 1},  d_m = t_m ((p + q - 1) x - t_m),
//
// run backwards from c_STEPS as a quotient of two solutions of its recurrence, and differentiated in p where `raise`
// holds, in q elsewhere.
template <int STEPS> inline Ratio fraction(D p, D q, D x, D y, Mask<double> raise) {
  const D reach = (p + q - 1.0) * x, start = p * y - (q - 1.0) * x, start_slope = raise ? y : -x;
  D t{}, t_slope{}, above{}, above_slope{}, below = splat(1.0), below_slope{};
  for (int m = STEPS + 1; m >= 0; m--) {
    const D inverse = 1.0 / (p + double(2 * m - 1)), share = x * double(m) * inverse, low = share * (q - double(m));
    const D low_slope = raise ? -low * inverse : share;
    if (m <= STEPS) {
      const D c = (start + double(2 * m)) + (low + t), c_slope = start_slope + (low_slope + t_slope);
      const D rest = reach - t, d = t * rest, d_slope = fma(t_slope, rest - t, t * x);
      const D next = fma(c, below, d * above);
      const D next_slope = fma(c, below_slope, fma(d, above_slope, fma(c_slope, below, d_slope * above)));
      above = below;
      above_slope = below_slope;
      below = next;
      below_slope = next_slope;
    }
    t = low;
    t_slope = low_slope;
  }
  const D inverse = 1.0 / below, value = above * inverse;
  return {value, fma(-value, below_slope, above_slope) * inverse};
}

// The fraction is taken at p + 1 and one step of a recurrence leads to p, where the terms for small p would cancel.
template <int STEPS> inline D by_fraction(D a, D b, Place at, D log_x) {
  const Side side(a, b, at);
  const auto lower = side.lower;
  const D p = side.p, q = side.q, x = side.x, total = a + b, raised = p + 1.0;
  const Ratio next = fraction<STEPS>(raised, q, x, side.y, lower);
  const D score = log_x + digamma_difference<DIGAMMA_SHIFT>(lower ? raised : q, lower ? q : p);
  const D product = total * x;
  const D below = fma(-product, fma(score, next.value, next.slope), 1.0 / total - score);
  const D above = fma(score, fma(product, next.value, splat(1.0)), x * fma(total, next.slope, next.value));
  return (lower ? below : above) / p;
}

// How far the fraction is run, and by how much a step must at least shrink the error halfway down: where d is positive,
// and where it is negative, there the first steps do more.
struct Depth {
  int steps;
  double rate, rate_below;

  // A step shrinks the error by r where d / c^2 is r / (1 - r)^2, or -r / (1 + r)^2.
  constexpr double most() const { return rate / ((1 - rate) * (1 - rate)); }
  constexpr double least() const { return -rate_below / ((1 + rate_below) * (1 + rate_below)); }
};

// Whether that is deep enough.
inline auto converges(const Side &side, const Depth &depth) {
  const double m = 0.5 * depth.steps;
  const D p = side.p + 1.0, q = side.q, divisor = p + (2 * m - 1), left = q - m;
  const D t = m * side.x * (left + with_sign_of<double>(splat(1.0), left));  // no smaller where q - m changes sign
  const D c = fma(p * side.y - (q - 1.0) * side.x + 2 * m, divisor, 2.0 * t);
  const D d = t * fma((p + q - 1.0) * side.x, divisor, -t), square = c * c;
  return (d <= depth.most() * square) & (d >= depth.least() * square);
}

}  // namespace reparam::REPARAM_ARCH::beta
