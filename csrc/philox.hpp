// Philox4x32-10 (Salmon, Moraes, Dror and Shaw, SC 2011), several counters at a time, and where each word stands.
//
// Word j of a row of the draw is word j % 4 of the counter (j / 4, row, step, tag). Rows of one or two words share a
// counter: four or two consecutive rows to one, (0, row / share, step, tag), each with its part of the four words.
#pragma once

#include "kernels.hpp"
#include "simd.hpp"

namespace reparam::REPARAM_ARCH {

constexpr int COUNTERS = LANES<uint64_t>;
constexpr int ROUNDS = 10;
using Word = V<uint64_t>;  // a 32-bit word in the low half of each lane

struct Keys {
  uint64_t round[ROUNDS][2];

  explicit Keys(uint64_t seed) {
    uint32_t low = uint32_t(seed), high = uint32_t(seed >> 32);
    for (auto &key : round) {
      key[0] = low, key[1] = high;
      low += 0x9E3779B9u, high += 0xBB67AE85u;
    }
  }
};

struct FourWords {
  Word w[4];
};

// Several vectors of counters side by side: the rounds of one alone would wait for each other. The high halves of odd
// words carry rubbish until a product ignores them; the result is clean.
template <int COUNT>
inline void philox(const Word (&first)[COUNT], const Word (&second)[COUNT], uint32_t step, uint32_t tag,
                   const Keys &keys, FourWords (&out)[COUNT]) {
  constexpr uint64_t LOW = 0xFFFFFFFFu;
  Word c0[COUNT], c1[COUNT], c2[COUNT], c3[COUNT];
  for (int i = 0; i < COUNT; i++)
    c0[i] = first[i], c1[i] = second[i], c2[i] = splat<uint64_t>(step), c3[i] = splat<uint64_t>(tag);
  for (const auto &key : keys.round) {
    for (int i = 0; i < COUNT; i++) {
      const Word low = multiply_low_halves(c0[i], splat<uint64_t>(0xD2511F53u));
      const Word high = multiply_low_halves(c2[i], splat<uint64_t>(0xCD9E8D57u));
      c0[i] = (high >> 32) ^ c1[i] ^ key[0];
      c2[i] = (low >> 32) ^ c3[i] ^ key[1];
      c1[i] = high;
      c3[i] = low;
    }
  }
  for (int i = 0; i < COUNT; i++) out[i] = {{c0[i] & LOW, c1[i] & LOW, c2[i] & LOW, c3[i] & LOW}};
}

inline FourWords philox(Word c0, Word c1, uint32_t step, uint32_t tag, const Keys &keys) {
  const Word first[] = {c0}, second[] = {c1};
  FourWords out[1];
  philox(first, second, step, tag, keys, out);
  return out[0];
}

inline Word consecutive(uint64_t first) {
  Word v;
  for (int i = 0; i < COUNTERS; i++) v[i] = first + i;
  return v;
}

// All words of COUNTERS counters, counter by counter.
inline void store_words(const FourWords &x, uint32_t *out) {
  const Word left = x.w[0] | (x.w[1] << 32), right = x.w[2] | (x.w[3] << 32);
  const Word low = interleaved_low(left, right), high = interleaved_high(left, right);
  std::memcpy(out, &low, BYTES);
  std::memcpy(out + BYTES / 4, &high, BYTES);
}

// A stream made ready: the keys expanded, and how the words of a row are found.
struct Source {
  const Stream &stream;
  Keys keys;
  int64_t row_words;  // words in a row
  int share;          // rows that share a counter

  Source(const Stream &s, int words_per_number)
      : stream(s), keys(s.seed), row_words(s.row_length * words_per_number),
        share(row_words == 1 ? 4 : row_words == 2 ? 2 : 1) {}

  uint64_t row(int64_t r) const {
    return uint32_t(stream.rows ? stream.rows[r] : stream.first_row + r);
  }
};

// `count` consecutive words from the one numbered `first`, of a sequence whose counters are (i, row) for i = 0, 1, ...;
// or (0, i) where the rows share theirs.
inline void consecutive_words(const Source &s, bool shared, uint64_t row, uint64_t first, int64_t count, uint32_t *out) {
  constexpr int AT_ONCE = 4 * COUNTERS;
  uint64_t counter = first / 4;
  int skip = int(first % 4);
  const Word fixed[] = {splat(row), splat(row)};
  for (; skip == 0 && count >= 2 * AT_ONCE; counter += 2 * COUNTERS, out += 2 * AT_ONCE, count -= 2 * AT_ONCE) {
    const Word moving[] = {consecutive(counter), consecutive(counter + COUNTERS)};
    FourWords x[2];
    if (shared)
      philox(fixed, moving, s.stream.step, s.stream.tag, s.keys, x);
    else
      philox(moving, fixed, s.stream.step, s.stream.tag, s.keys, x);
    store_words(x[0], out);
    store_words(x[1], out + AT_ONCE);
  }
  while (count > 0) {
    const Word moving = consecutive(counter);
    const FourWords x = shared ? philox(fixed[0], moving, s.stream.step, s.stream.tag, s.keys)
                               : philox(moving, fixed[0], s.stream.step, s.stream.tag, s.keys);
    if (skip == 0 && count >= AT_ONCE) {
      store_words(x, out);
      out += AT_ONCE, count -= AT_ONCE;
    } else {
      uint32_t words[AT_ONCE];
      store_words(x, words);
      const int64_t taken = count < AT_ONCE - skip ? count : AT_ONCE - skip;
      std::memcpy(out, words + skip, taken * sizeof(uint32_t));
      out += taken, count -= taken, skip = 0;
    }
    counter += COUNTERS;
  }
}

// Short rows, each with counters of its own: the counters of several rows side by side in one vector.
inline void scattered_words(const Source &s, int64_t first, int64_t count, uint32_t *out) {
  Word c0{}, c1{};
  int64_t from[COUNTERS];
  int length[COUNTERS];
  int pending = 0;
  auto flush = [&] {
    uint32_t words[4 * COUNTERS];
    store_words(philox(c0, c1, s.stream.step, s.stream.tag, s.keys), words);
    for (int i = 0; i < pending; i++) {
      std::memcpy(out, words + 4 * i + from[i], length[i] * sizeof(uint32_t));
      out += length[i];
    }
    pending = 0;
  };
  int64_t r = first / s.row_words, j = first % s.row_words;
  while (count > 0) {
    // The part of row r from word j that one counter holds.
    const uint64_t row = s.row(r);
    const int64_t offset = s.share > 1 ? int64_t(row % s.share) * s.row_words + j : j % 4;
    int64_t taken = s.row_words - j < 4 - offset ? s.row_words - j : 4 - offset;
    if (taken > count) taken = count;
    c0[pending] = s.share > 1 ? 0 : uint64_t(j / 4);
    c1[pending] = row / s.share;
    from[pending] = offset, length[pending] = int(taken);
    if (++pending == COUNTERS) flush();
    count -= taken, j += taken;
    if (j == s.row_words) j = 0, r++;
  }
  if (pending) flush();
}

// The words of the numbers [begin, end) of the draw, in their order.
inline void words(const Source &s, int words_per_number, int64_t begin, int64_t end, uint32_t *out) {
  int64_t first = begin * words_per_number, count = (end - begin) * words_per_number;
  if (s.share > 1 && !s.stream.rows) {
    // Row numbers wrap around at 2^32, where their words do.
    const uint64_t all = uint64_t(s.row_words) << 32;
    const uint64_t start = (s.row(0) * s.row_words + first) % all;
    const int64_t whole = int64_t(all - start) < count ? int64_t(all - start) : count;
    consecutive_words(s, true, 0, start, whole, out);
    if (whole < count) consecutive_words(s, true, 0, 0, count - whole, out + whole);
    return;
  }
  if (s.row_words < 16 * COUNTERS) return scattered_words(s, first, count, out);
  while (count > 0) {
    const int64_t r = first / s.row_words, j = first % s.row_words;
    const int64_t taken = s.row_words - j < count ? s.row_words - j : count;
    consecutive_words(s, false, s.row(r), j, taken, out);
    first += taken, count -= taken, out += taken;
  }
}

}  // namespace reparam::REPARAM_ARCH
