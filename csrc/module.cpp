// The Python module: addresses and sizes in, nothing out. The caller has allocated, checked and keeps alive.
#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include "flows.hpp"

namespace nb = nanobind;
using namespace reparam;

namespace {

// Below this many elements, the interpreter's lock costs more to hand over than to hold.
constexpr int64_t WORTH_RELEASING = 1 << 14;

template <class F> void without_lock(int64_t n, F &&run) {
  if (n < WORTH_RELEASING) return run();
  nb::gil_scoped_release released;
  run();
}

void run_elementwise(int which, bool wide, int64_t n, int threads, uintptr_t out, uintptr_t in0, int64_t period0,
                     uintptr_t in1, int64_t period1, uintptr_t in2, int64_t period2, uintptr_t in3, int64_t period3) {
  const Elementwise &kernel = active().elementwise[which];
  const Input in[MOST_INPUTS] = {{reinterpret_cast<void *>(in0), period0},
                                 {reinterpret_cast<void *>(in1), period1},
                                 {reinterpret_cast<void *>(in2), period2},
                                 {reinterpret_cast<void *>(in3), period3}};
  without_lock(n, [&] {
    if (wide)
      elementwise(kernel.f64, kernel.inputs, in, reinterpret_cast<double *>(out), n, threads);
    else
      elementwise(kernel.f32, kernel.inputs, in, reinterpret_cast<float *>(out), n, threads);
  });
}

void run_gamma_flows(int which, bool wide, int64_t n, int threads, uintptr_t to_a, uintptr_t to_rate, uintptr_t flow,
                     int64_t flow_period, uintptr_t a, int64_t a_period, uintptr_t y, int64_t y_period, uintptr_t rate,
                     int64_t rate_period) {
  const Elementwise &kernel = active().elementwise[which];
  const Input in[4] = {{reinterpret_cast<void *>(flow), flow_period},
                       {reinterpret_cast<void *>(a), a_period},
                       {reinterpret_cast<void *>(y), y_period},
                       {reinterpret_cast<void *>(rate), rate_period}};
  without_lock(n, [&] {
    if (wide)
      gamma_flows(kernel.f64, in, reinterpret_cast<double *>(to_a), reinterpret_cast<double *>(to_rate), n, threads);
    else
      gamma_flows(kernel.f32, in, reinterpret_cast<float *>(to_a), reinterpret_cast<float *>(to_rate), n, threads);
  });
}

void run_beta_flows(int in_a, int in_b, bool wide, int64_t n, int threads, uintptr_t out, uintptr_t flow,
                    int64_t flow_period, uintptr_t pairs, uintptr_t x) {
  const Elementwise &first = active().elementwise[in_a], &second = active().elementwise[in_b];
  const Input given{reinterpret_cast<void *>(flow), flow_period};
  without_lock(n, [&] {
    if (wide)
      beta_flows(first.f64, second.f64, given, reinterpret_cast<double *>(pairs), reinterpret_cast<double *>(x),
                 reinterpret_cast<double *>(out), n, threads);
    else
      beta_flows(first.f32, second.f32, given, reinterpret_cast<float *>(pairs), reinterpret_cast<float *>(x),
                 reinterpret_cast<float *>(out), n, threads);
  });
}

void run_dirichlet_flows(int in_a, bool wide, int64_t rows, int64_t width, int threads, uintptr_t out, uintptr_t flow,
                         int64_t flow_period, uintptr_t a, int64_t a_period, uintptr_t y, uintptr_t total) {
  const Elementwise &kernel = active().elementwise[in_a];
  const Input given{reinterpret_cast<void *>(flow), flow_period}, shape{reinterpret_cast<void *>(a), a_period};
  without_lock(rows * width, [&] {
    if (wide)
      dirichlet_flows(kernel.f64, given, shape, reinterpret_cast<double *>(y), reinterpret_cast<double *>(total),
                      reinterpret_cast<double *>(out), rows, width, threads);
    else
      dirichlet_flows(kernel.f32, given, shape, reinterpret_cast<float *>(y), reinterpret_cast<float *>(total),
                      reinterpret_cast<float *>(out), rows, width, threads);
  });
}

enum class Noise { uniform, normal, exponential };

template <class T> void fill(const Samplers<T> &samplers, Noise law, const Stream &stream, int64_t n, int threads, T *out) {
  const auto sampler = law == Noise::uniform ? samplers.uniform : law == Noise::normal ? samplers.normal : samplers.exponential;
  over_blocks(n, threads, [=](int64_t begin, int64_t end) { sampler(stream, begin, end, out + begin); });
}

// The five words that name a stream, as Python passes them.
Stream stream_of(uint64_t seed, uint32_t step, uint32_t tag, int64_t first_row, uintptr_t rows, int64_t row_length) {
  return {seed, step, tag, first_row, reinterpret_cast<const int64_t *>(rows), row_length};
}

void run_noise(int law, bool wide, int64_t n, int threads, uintptr_t out, uint64_t seed, uint32_t step, uint32_t tag,
               int64_t first_row, uintptr_t rows, int64_t row_length) {
  const Stream stream = stream_of(seed, step, tag, first_row, rows, row_length);
  without_lock(n, [&] {
    if (wide)
      fill(active().f64, Noise(law), stream, n, threads, reinterpret_cast<double *>(out));
    else
      fill(active().f32, Noise(law), stream, n, threads, reinterpret_cast<float *>(out));
  });
}

template <class T>
void scaled_normal(const Stream &stream, int64_t n, int threads, const Input &loc, const Input &scale, T *out) {
  const auto sampler = active().samplers<T>().scaled_normal;
  over_blocks(n, threads, [=](int64_t begin, int64_t end) {
    T buffers[2][BLOCK];
    const T *centre = loc.data ? piece(loc, begin, end - begin, buffers[0]) : nullptr;
    sampler(stream, begin, end, centre, piece(scale, begin, end - begin, buffers[1]), out + begin);
  });
}

void run_scaled_normal(bool wide, int64_t n, int threads, uintptr_t out, uintptr_t loc, int64_t loc_period,
                       uintptr_t scale, int64_t scale_period, uint64_t seed, uint32_t step, uint32_t tag,
                       int64_t first_row, uintptr_t rows, int64_t row_length) {
  const Stream stream = stream_of(seed, step, tag, first_row, rows, row_length);
  const Input centre{reinterpret_cast<void *>(loc), loc_period}, size{reinterpret_cast<void *>(scale), scale_period};
  without_lock(n, [&] {
    if (wide)
      scaled_normal(stream, n, threads, centre, size, reinterpret_cast<double *>(out));
    else
      scaled_normal(stream, n, threads, centre, size, reinterpret_cast<float *>(out));
  });
}

template <class T>
void variates(int law, const Input *parameters, const Stream &stream, int64_t n, int threads, T *out) {
  const auto sampler = active().samplers<T>().variates[law];
  over_blocks(n, threads, [=](int64_t begin, int64_t end) {
    T buffers[2][BLOCK];
    const T *pieces[2];
    for (int k = 0; k < 2; k++)
      pieces[k] = parameters[k].data ? piece(parameters[k], begin, end - begin, buffers[k]) : nullptr;
    sampler(stream, begin, end, pieces, out + begin);
  });
}

void run_variates(int law, bool wide, int64_t n, int threads, uintptr_t out, uintptr_t first, int64_t first_period,
                  uintptr_t second, int64_t second_period, uint64_t seed, uint32_t step, uint32_t tag,
                  int64_t first_row, uintptr_t rows, int64_t row_length) {
  const Stream stream = stream_of(seed, step, tag, first_row, rows, row_length);
  const Input parameters[2] = {{reinterpret_cast<void *>(first), first_period},
                               {reinterpret_cast<void *>(second), second_period}};
  without_lock(n, [&] {
    if (wide)
      variates(law, parameters, stream, n, threads, reinterpret_cast<double *>(out));
    else
      variates(law, parameters, stream, n, threads, reinterpret_cast<float *>(out));
  });
}

template <class T> bool within_of(const T *values, int64_t n, double low, double high) {
  bool inside = true;
  for (int64_t i = 0; i < n; i++) inside &= (values[i] >= low) & (values[i] <= high);
  return inside;
}

// Whether n numbers lie in an interval; a NaN does not.
bool within(bool wide, int64_t n, uintptr_t values, double low, double high) {
  return wide ? within_of(reinterpret_cast<double *>(values), n, low, high)
              : within_of(reinterpret_cast<float *>(values), n, low, high);
}

template <class T> void shares_of(const T *pairs, int64_t n, T low, T high, T *out) {
  for (int64_t i = 0; i < n; i++) {
    const T share = pairs[2 * i] / (pairs[2 * i] + pairs[2 * i + 1]);
    out[i] = share < low ? low : share > high ? high : share;
  }
}

// The share of the first in each of n pairs, held in [low, high]: a NaN stays one.
void shares(bool wide, int64_t n, uintptr_t pairs, double low, double high, uintptr_t out) {
  without_lock(n, [&] {
    if (wide)
      shares_of(reinterpret_cast<double *>(pairs), n, low, high, reinterpret_cast<double *>(out));
    else
      shares_of(reinterpret_cast<float *>(pairs), n, float(low), float(high), reinterpret_cast<float *>(out));
  });
}

std::vector<std::string> available_names() {
  std::vector<std::string> names;
  for (const Kernels *kernels : available()) names.emplace_back(kernels->name);
  return names;
}

// Every instruction set has the same functions in the same order: one source.
std::vector<std::string> elementwise_names() {
  std::vector<std::string> names;
  for (int i = 0; i < active().elementwise_count; i++) names.emplace_back(active().elementwise[i].name);
  return names;
}

std::vector<std::string> law_names() { return {std::begin(LAWS), std::end(LAWS)}; }

}  // namespace

NB_MODULE(_native, m) {
  m.def("noise", &run_noise);
  m.def("scaled_normal", &run_scaled_normal);
  m.def("law_names", &law_names);
  m.def("variates", &run_variates);
  m.def("available", &available_names);
  m.def("active", [] { return std::string(active().name); });
  m.def("select", &reparam::select);
  m.def("has_threads", &has_threads);
  m.def("within", &within);
  m.def("shares", &shares);
  m.def("elementwise_names", &elementwise_names);
  m.def("gamma_flows", &run_gamma_flows);
  m.def("beta_flows", &run_beta_flows);
  m.def("dirichlet_flows", &run_dirichlet_flows);
  m.attr("BLOCK") = BLOCK;
  m.def("elementwise", &run_elementwise, nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg(),
        nb::arg("in1") = 0, nb::arg("period1") = 1, nb::arg("in2") = 0, nb::arg("period2") = 1, nb::arg("in3") = 0,
        nb::arg("period3") = 1);
}
