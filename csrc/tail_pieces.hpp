// What the quadratures over a tail share: cancellation-free pieces, in double. See special/_beta_pieces.py.
#pragma once

#include "math.hpp"
#include "tables/legendre.hpp"

namespace reparam::REPARAM_ARCH {

using D = V<double>;

// What lies beyond this drop of a log-density is below the rounding error of what is kept.
constexpr double DROP = 40;

// log x, log(1 - x), x and 1 - x at the logit u.
struct Logistic {
  D log_x, log_y, x, y;
};

inline Logistic logistic(D u) {
  const D e = exp<double>(-absolute<double>(u)), l = log1p<double>(e), r = 1.0 / (1.0 + e);
  const auto right = u > 0.0;
  return {minimum(u, D{}) - l, minimum(-u, D{}) - l, right ? r : e * r, right ? e * r : r};
}

// r - log(1 + r) without cancellation, given an accurate log(1 + r) for r away from 0.
inline D log1p_excess(D r, D log1p_r) {
  const auto near = absolute<double>(r) < 0.3;
  const D small = near ? r : D{}, w = small / (small + 2.0), square = w * w;
  D series{};
  for (int k = 10; k > 0; k--) series = fma(series, square, splat(1.0 / (2 * k + 1)));
  return near ? w * small - 2.0 * w * square * series : r - log1p_r;
}

inline D asinh_of_positive(D x) {
  const D share = x > 1e8 ? splat(1.0) : x / (1.0 + sqrt(fma(x, x, splat(1.0))));  // x^2 may leave the floats
  return log1p<double>(fma(x, share, x));
}

// Nodes s = sinh(reach v) on (0, length), reach = asinh(length): even below 1, geometric above. The weight of node k is
// reach times `weight`.
struct GradedNode {
  D s, weight;
};
template <int NODES> inline GradedNode graded_node(int k, D reach) {
  const D e = expm1<double>(reach * Legendre<NODES>::NODES[k]);
  const D s = 0.5 * (e + e / (e + 1.0));
  return {s, Legendre<NODES>::WEIGHTS[k] * sqrt(fma(s, s, splat(1.0)))};
}

// One step of Newton's method, in logarithms of both sides, for the length at which the fall is DROP.
inline D truncation_step(D length, D fall, D slope) {
  return length * exp<double>(log<double>(DROP / fall) * fall / (length * slope));
}

}  // namespace reparam::REPARAM_ARCH
