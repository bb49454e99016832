// Laws whose sampler branches too much for vectors: one number at a time, in double.
//
// Attempt t of a number looks at its own counter under the key of attempt t, as in gamma_sampler.hpp: two words make a
// 53-bit uniform, the third a 32-bit one, the fourth a sign.
#pragma once

#include <math.h>

#include "gamma_sampler.hpp"

namespace reparam::REPARAM_ARCH {

struct Uniforms {
  double first, second;  // in the open interval (0, 1)
  bool sign;
};

inline Uniforms uniforms_at(const Stream &stream, const Keys &keys, uint32_t c0, uint32_t c1) {
  uint32_t x[4] = {c0, c1, stream.step, stream.tag};
  for (const auto &key : keys.round) {
    const uint64_t first = uint64_t(x[0]) * 0xD2511F53u, second = uint64_t(x[2]) * 0xCD9E8D57u;
    x[0] = uint32_t(second >> 32) ^ x[1] ^ uint32_t(key[0]);
    x[2] = uint32_t(first >> 32) ^ x[3] ^ uint32_t(key[1]);
    x[1] = uint32_t(second);
    x[3] = uint32_t(first);
  }
  const uint64_t cell = (uint64_t(x[0]) << 21) | (x[1] >> 11);
  // Half a cell's rounding may reach 1 itself, at the topmost of 2^53.
  const double first = (double(cell) + 0.5) * 0x1p-53;
  return {first < 1 ? first : 1 - 0x1p-53, (double(x[2]) + 0.5) * 0x1p-32, (x[3] & 1) != 0};
}

// Best and Fisher's wrapped Cauchy envelope (Applied Statistics, 1979), in the complement 1 - cos(angle) and with the
// envelope's constants free of cancellation, so that concentrations from 0 to the largest keep their digits.
struct VonMises {
  double kappa, rho, floor;

  explicit VonMises(const double *parameters) : kappa(parameters[0]) {
    const double r = hypot(1, 2 * kappa), root = ::sqrt(1 + r), sum = root + M_SQRT2;
    rho = 2 * kappa * root / ((r + 1) * sum);
    floor = (r + 1) * sum / (4 * root) * (1 - rho) * (1 - rho);
  }
  bool valid() const { return kappa >= 0 && kappa < INFINITE<double>; }
  bool attempt(const Uniforms &u, double *x) const {
    const double half = ::sin(M_PI_2 * u.first), z = 1 - 2 * half * half;
    const double complement = (1 - rho) * (1 - rho) * 2 * half * half / (1 + rho * rho + 2 * rho * z);
    const double c = floor + kappa * complement;
    if (c * (2 - c) <= u.second && ::log(c / u.second) + 1 - c < 0) return false;
    const double angle = 2 * asin(::sqrt(complement / 2 < 1 ? complement / 2 : 1));
    *x = u.sign ? angle : -angle;
    return true;
  }
};

// log(k!) by Stirling's series, exact to rounding from k = 10 on.
inline double stirling_correction(double k) {
  const double r = 1 / k, r2 = r * r;
  return r * (1.0 / 12 - r2 * (1.0 / 360 - r2 * (1.0 / 1260 - r2 / 1680)));
}

// Hormann's transformed rejection with squeeze (Insurance: Mathematics and Economics, 1993) from a mean of 10 on, below
// it the inversion of one uniform.
struct Poisson {
  double rate, b, a, vr, log_inverse_alpha;

  explicit Poisson(const double *parameters) : rate(parameters[0]) {
    b = 0.931 + 2.53 * ::sqrt(rate);
    a = -0.059 + 0.02483 * b;
    vr = 0.9277 - 3.6224 / (b - 2);
    log_inverse_alpha = ::log(1.1239 + 1.1328 / (b - 3.4));
  }
  bool valid() const { return rate >= 0 && rate < 0x1p52; }
  bool attempt(const Uniforms &u, double *x) const {
    if (rate < 10) return *x = inverse(u.first), true;
    const double v = u.first - 0.5, us = 0.5 - fabs(v), k = ::floor((2 * a / us + b) * v + rate + 0.43);
    *x = k;
    if (us >= 0.07 && u.second <= vr) return true;
    if (k < 0 || (us < 0.013 && u.second > us)) return false;
    return ::log(u.second) + log_inverse_alpha - ::log(a / (us * us) + b) <= log_mass(k);
  }
  double inverse(double u) const {
    double mass = ::exp(-rate), k = 0;
    // Far beyond the last value of any uniform, where rounding has kept the masses from reaching it.
    for (; u > mass && k < 200; mass *= rate / k) u -= mass, k++;
    return k;
  }
  // log of the mass at k, in the deviation from the mean, which the sum of logarithms would lose at large rates.
  double log_mass(double k) const {
    if (k < 10) return k * ::log(rate) - rate - lgamma(k + 1);
    const double e = (k - rate) / rate;
    return -rate * ((1 + e) * ::log1p(e) - e) - 0.5 * ::log(2 * M_PI * k) - stirling_correction(k);
  }
};

// The same two ways for the binomial law (Hormann, J. Statist. Comput. Simulation, 1993), of the rarer outcome.
struct Binomial {
  double n, probability, p, b, a, vr, alpha, log_odds, mode, log_mode;

  explicit Binomial(const double *parameters) : n(parameters[0]), probability(parameters[1]) {
    p = probability < 0.5 ? probability : 1 - probability;
    const double spread = ::sqrt(n * p * (1 - p));
    b = 1.15 + 2.53 * spread;
    a = -0.0873 + 0.0248 * b + 0.01 * p;
    vr = 0.92 - 4.2 / b;
    alpha = (2.83 + 5.1 / b) * spread;
    log_odds = ::log(p / (1 - p));
    mode = ::floor((n + 1) * p);
    log_mode = n * p < 10 ? 0 : lgamma(mode + 1) + lgamma(n - mode + 1);
  }
  bool valid() const { return n >= 0 && n < 0x1p52 && ::floor(n) == n && probability >= 0 && probability <= 1; }
  bool attempt(const Uniforms &u, double *x) const {
    double k;
    if (n * p < 10) {
      k = inverse(u.first);
    } else {
      const double v = u.first - 0.5, us = 0.5 - fabs(v);
      k = ::floor((2 * a / us + b) * v + n * p + 0.5);
      if (us < 0.07 || u.second > vr) {
        if (k < 0 || k > n) return false;
        const double kept = log_mode - lgamma(k + 1) - lgamma(n - k + 1) + (k - mode) * log_odds;
        if (::log(u.second * alpha / (a / (us * us) + b)) > kept) return false;
      }
    }
    *x = probability < 0.5 ? k : n - k;
    return true;
  }
  double inverse(double u) const {
    double mass = ::exp(n * ::log1p(-p)), k = 0;
    for (; u > mass && k < n && k < 200; mass *= (n - k + 1) / k * (p / (1 - p))) u -= mass, k++;
    return k;
  }
};

// The constants of the law are made again only where a parameter differs from the number before.
template <class T, class Law, int PARAMETERS>
void rejection_variates(const Stream &stream, int64_t begin, int64_t end, const T *const *parameters, T *out) {
  uint32_t c0[BLOCK], c1[BLOCK];
  places(stream, begin, end, c0, c1);
  const Keys first(stream.seed);
  double at[PARAMETERS];
  for (int k = 0; k < PARAMETERS; k++) at[k] = double(parameters[k][0]);
  Law law(at);
  for (int64_t i = 0; i < end - begin; i++) {
    bool same = true;
    for (int k = 0; k < PARAMETERS; k++) {
      const double value = double(parameters[k][i]);
      same = same && value == at[k];
      at[k] = value;
    }
    if (!same) law = Law(at);
    double x = NOT_A_NUMBER<double>;
    if (law.valid() && !law.attempt(uniforms_at(stream, first, c0[i], c1[i]), &x))
      for (uint64_t t = 1; !law.attempt(uniforms_at(stream, Keys(stream.seed ^ t * ATTEMPT), c0[i], c1[i]), &x);) t++;
    out[i] = T(x);
  }
}

}  // namespace reparam::REPARAM_ARCH
