// Differences of digamma functions, in double, to relative precision however near their arguments are.
#pragma once

#include "math.hpp"

namespace reparam::REPARAM_ARCH {

using D = V<double>;

constexpr int DIGAMMA_SHIFT = 10;

// (psi(y) - log y - psi(x) + log x) / (y - x), given 1 / x and 1 / y; for x and y from DIGAMMA_SHIFT on.
inline D asymptotic_slope(D inverse_x, D inverse_y) {
  constexpr double SERIES[] = {1. / 12, -1. / 120, 1. / 252, -1. / 240, 1. / 132, -691. / 32760, 1. / 12};
  const D product = inverse_x * inverse_y, x = inverse_x * inverse_x, y = inverse_y * inverse_y;
  // (x^k - y^k) / (x - y), and y^k.
  D quotient = splat(1.0), power = y, series = splat(SERIES[0]);
  for (int k = 1; k < 7; k++) {
    quotient = fma(x, quotient, power);
    power *= y;
    series = fma(quotient, splat(SERIES[k]), series);
  }
  return product * fma(series, inverse_x + inverse_y, splat(0.5));
}

// A sum of COUNT reciprocals of (a + k)(a + b + k), from k = FIRST on, as one quotient; given a (a + b) and 2 a + b.
struct Quotient {
  D above, below;
};
template <int FIRST, int COUNT> inline Quotient sum_of_reciprocals(D product, D sum) {
  if constexpr (COUNT == 1) {
    return {splat(1.0), fma(sum + double(FIRST), splat(double(FIRST)), product)};
  } else {
    const Quotient low = sum_of_reciprocals<FIRST, COUNT / 2>(product, sum);
    const Quotient high = sum_of_reciprocals<FIRST + COUNT / 2, COUNT - COUNT / 2>(product, sum);
    return {fma(low.above, high.below, high.above * low.below), low.below * high.below};
  }
}

template <int GROUP, int FIRST = 0> inline D recurrence_steps(D product, D sum) {
  const Quotient group = sum_of_reciprocals<FIRST, GROUP>(product, sum);
  const D steps = group.above / group.below;
  if constexpr (FIRST + GROUP < DIGAMMA_SHIFT)
    return steps + recurrence_steps<GROUP, FIRST + GROUP>(product, sum);
  else
    return steps;
}

// psi(a + b) - psi(a), to relative precision however small b / a is. One division serves GROUP steps of the recurrence,
// GROUP a divisor of DIGAMMA_SHIFT, while (a (a + b))^GROUP is in the range of the floats.
template <int GROUP> inline D digamma_difference(D a, D b) {
  const D total = a + b, near = a + double(DIGAMMA_SHIFT), far = near + b;
  const D inverse_near = 1.0 / near, inverse_far = 1.0 / far;
  const D slope = recurrence_steps<GROUP>(a * total, a + total) + asymptotic_slope(inverse_near, inverse_far);
  // log(1 + share), with what rounds away of 1 + share.
  const D share = b * inverse_near, sum = share + 1.0;
  const D lost = share < 1.0 ? share - (sum - 1.0) : 1.0 - (sum - share);
  return fma(b, slope, fma(lost, near * inverse_far, log_normal_range<double>(sum)));
}

}  // namespace reparam::REPARAM_ARCH
