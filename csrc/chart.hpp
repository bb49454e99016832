// A bivariate polynomial on a box, from a generated table (see tools/chebyshev.py), unrolled so that its rows overlap.
#pragma once

#include <utility>

#include "simd.hpp"

namespace reparam::REPARAM_ARCH {

template <class Chart> constexpr int ROWS = sizeof(Chart::LENGTHS) / sizeof(int);

template <class Chart> constexpr int first_of_row(int row) {
  int first = 0;
  for (int i = 0; i < row; i++) first += Chart::LENGTHS[i];
  return first;
}

// The polynomial in t that multiplies s^ROW.
template <class T, class Chart, int ROW, int... J>
inline V<T> row([[maybe_unused]] V<T> t, std::integer_sequence<int, J...>) {
  constexpr int LAST = first_of_row<Chart>(ROW + 1) - 1;
  V<T> sum = splat(Chart::COEFFICIENTS[LAST]);
  ((sum = fma(sum, t, Chart::COEFFICIENTS[LAST - 1 - J])), ...);
  return sum;
}

template <class T, class Chart, int ROW> inline V<T> row(V<T> t) {
  return row<T, Chart, ROW>(t, std::make_integer_sequence<int, Chart::LENGTHS[ROW] - 1>());
}

template <class T, class Chart, int... I> inline V<T> sum_of_rows(V<T> s, V<T> t, std::integer_sequence<int, I...>) {
  constexpr int LAST = ROWS<Chart> - 1;
  V<T> sum = row<T, Chart, LAST>(t);
  ((sum = fma(sum, s, row<T, Chart, LAST - 1 - I>(t))), ...);
  return sum;
}

template <class T, class Chart> inline V<T> chart(V<T> s, V<T> t) {
  s = (s - Chart::S_MIDDLE) * Chart::S_SCALE;
  t = (t - Chart::T_MIDDLE) * Chart::T_SCALE;
  return sum_of_rows<T, Chart>(s, t, std::make_integer_sequence<int, ROWS<Chart> - 1>());
}

}  // namespace reparam::REPARAM_ARCH
