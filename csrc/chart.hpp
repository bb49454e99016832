// Polynomials in two or three variables on a box, from a generated table (see tools/chebyshev.py), unrolled so that
// their rows overlap.
#pragma once

#include <utility>

#include "simd.hpp"

namespace reparam::REPARAM_ARCH {

// Several vectors at once, each coefficient loaded once for all: one alone would wait for its own sums.
template <class T, int COUNT> struct Vectors {
  V<T> at[COUNT];

  Vectors fma_with(const Vectors &factor, const Vectors &addend) const {
    Vectors result;
    for (int k = 0; k < COUNT; k++) result.at[k] = fma(at[k], factor.at[k], addend.at[k]);
    return result;
  }
  Vectors scaled(T middle, T scale) const {
    Vectors result;
    for (int k = 0; k < COUNT; k++) result.at[k] = (at[k] - middle) * scale;
    return result;
  }
  static Vectors of(T x) {
    Vectors result;
    for (int k = 0; k < COUNT; k++) result.at[k] = splat(x);
    return result;
  }
};

template <class Chart> constexpr int ROWS = sizeof(Chart::LENGTHS) / sizeof(int);

template <class Chart> constexpr int first_of_row(int row) {
  int first = 0;
  for (int i = 0; i < row; i++) first += Chart::LENGTHS[i];
  return first;
}

// The polynomial in t that multiplies s^ROW.
template <class X, class Chart, int ROW, int... J>
inline X row([[maybe_unused]] const X &t, std::integer_sequence<int, J...>) {
  constexpr int LAST = first_of_row<Chart>(ROW + 1) - 1;
  X sum = X::of(Chart::COEFFICIENTS[LAST]);
  ((sum = sum.fma_with(t, X::of(Chart::COEFFICIENTS[LAST - 1 - J]))), ...);
  return sum;
}

template <class X, class Chart, int ROW> inline X row(const X &t) {
  return row<X, Chart, ROW>(t, std::make_integer_sequence<int, Chart::LENGTHS[ROW] - 1>());
}

// Rows FIRST, FIRST + 1, ..., times the powers of s.
template <class X, class Chart, int FIRST, int... I>
inline X sum_of_rows(const X &s, const X &t, std::integer_sequence<int, I...>) {
  constexpr int LAST = FIRST + int(sizeof...(I));
  X sum = row<X, Chart, LAST>(t);
  ((sum = sum.fma_with(s, row<X, Chart, LAST - 1 - I>(t))), ...);
  return sum;
}

template <class X, class Chart, int FIRST, int COUNT> inline X sum_of_rows(const X &s, const X &t) {
  return sum_of_rows<X, Chart, FIRST>(s, t, std::make_integer_sequence<int, COUNT - 1>());
}

template <class T, class Chart> inline V<T> chart(V<T> s, V<T> t) {
  using X = Vectors<T, 1>;
  const X in_s = X{{s}}.scaled(Chart::S_MIDDLE, Chart::S_SCALE), in_t = X{{t}}.scaled(Chart::T_MIDDLE, Chart::T_SCALE);
  return sum_of_rows<X, Chart, 0, ROWS<Chart>>(in_s, in_t).at[0];
}

// In three variables the rows come in layers, one for each power of r.
template <class Chart> constexpr int first_of_layer(int layer) {
  int first = 0;
  for (int i = 0; i < layer; i++) first += Chart::LAYERS[i];
  return first;
}

template <class X, class Chart, int LAYER> inline X layer(const X &s, const X &t) {
  return sum_of_rows<X, Chart, first_of_layer<Chart>(LAYER), Chart::LAYERS[LAYER]>(s, t);
}

template <class X, class Chart, int... I>
inline X sum_of_layers(const X &r, const X &s, const X &t, std::integer_sequence<int, I...>) {
  constexpr int LAST = int(sizeof...(I));
  X sum = layer<X, Chart, LAST>(s, t);
  ((sum = sum.fma_with(r, layer<X, Chart, LAST - 1 - I>(s, t))), ...);
  return sum;
}

template <class Chart, class X> inline X chart(const X &r, const X &s, const X &t) {
  constexpr int LAYERS = sizeof(Chart::LAYERS) / sizeof(int);
  const X in_r = r.scaled(Chart::R_MIDDLE, Chart::R_SCALE), in_s = s.scaled(Chart::S_MIDDLE, Chart::S_SCALE);
  const X in_t = t.scaled(Chart::T_MIDDLE, Chart::T_SCALE);
  return sum_of_layers<X, Chart>(in_r, in_s, in_t, std::make_integer_sequence<int, LAYERS - 1>());
}

}  // namespace reparam::REPARAM_ARCH
