// Backward without atomics: first delta, then one of two ways to cut the work in tasks.
//   whole sequences  a task is one key/value head of one sequence; p is recomputed once (5
//   products) blocks           dk and dv by key block, then dq by query block; p is recomputed
//   twice (7)
// Every element of dq, dk and dv is one chain of fma, over keys or over (head, query), ascending,
// so both ways have the same bits.
#include <algorithm>
#include <cmath>

#include "core/pairwise.h"
#include "kernels/attention/cpu.h"
#include "kernels/attention/cpu_tiles.h"
#include "kernels/attention/tile_math.h"
#include "kernels/cpu/tile_gemm.h"

namespace athanor::cpu {
namespace {

constexpr const char* kName = "attention_backward";
// Of the dk, dv pass: two register tiles of keys across, queries down.
constexpr int64_t kKeysAcross = 96;
constexpr int64_t kQueriesDown = 64;
constexpr int64_t kDeltaRows = 64;

template <class T>
struct Backward {
  T* dq;
  T* dk;
  T* dv;
  float* delta;
  const T* d_o;
  const T* q;
  const T* k;
  const T* v;
  const T* o;
  const float* lse;
  const int32_t* cu;
  int64_t tokens;
  AttentionShape shape;
  TileGemm gemm;
  TileMath math;

  int64_t group() const { return shape.num_heads / shape.num_key_value_heads; }
  int64_t q_stride() const { return shape.num_heads * shape.head_dim; }
  int64_t k_stride() const { return shape.num_key_value_heads * shape.head_dim; }

  // Scratch of one task, with room for the rounding of each piece.
  int64_t key_block_floats() const {
    return (5 * kKeysAcross + kQueriesDown + std::max(kQueriesDown, kKeysAcross)) * shape.head_dim +
           2 * kQueriesDown * kKeysAcross + 256;
  }
  int64_t query_block_floats(const HeadSplit& split) const {
    const int64_t n = split.heads * split.query_block;
    return (3 * shape.head_dim + 2 * kKeyBlock + 4) * n +
           (kKeyBlock + std::max(kKeyBlock, split.query_block)) * shape.head_dim + 256;
  }

  void delta_rows(int64_t begin, int64_t end) const;
  void key_block(const SequenceBlocks::Place& place, int64_t kv_head, float* dq_sums,
                 ScratchFloats take) const;
  void sequence_task(int64_t sequence, int64_t kv_head, std::byte* scratch) const;
  void query_task(const SequenceBlocks::Place& place, int64_t kv_head, int64_t first_head,
                  int64_t heads, std::byte* scratch) const;
};

// delta[h,n] = sum_d do[n,h,d] o[n,h,d]
template <class T>
void Backward<T>::delta_rows(int64_t begin, int64_t end) const {
  for (int64_t n = begin; n < end; ++n) {
    for (int64_t h = 0; h < shape.num_heads; ++h) {
      const T* __restrict x = d_o + n * q_stride() + h * shape.head_dim;
      const T* __restrict y = o + n * q_stride() + h * shape.head_dim;
      delta[h * tokens + n] =
          static_cast<float>(blocked_sum(shape.head_dim, [=](int64_t i, float lane) {
            return std::fma(to_float(x[i]), to_float(y[i]), lane);
          }));
    }
  }
}

// One block of keys against all queries that see it:
//   dv[j] = sum_i p do[i],  dk[j] = sum_i ds q[i]   over the heads of the group, then queries
//   dq_sums[h][i] += sum_j ds k[j]                  unless null; [heads of the group, length, D]
template <class T>
void Backward<T>::key_block(const SequenceBlocks::Place& place, int64_t kv_head, float* dq_sums,
                            ScratchFloats take) const {
  const int64_t d = shape.head_dim;
  const int64_t keys = place.rows;
  const int64_t begin = cu[place.sequence];
  const int64_t length = cu[place.sequence + 1] - begin;
  float* const kt = take.take(d * keys);
  float* const vt = take.take(d * keys);
  float* const dkt = take.take(d * keys);
  float* const dvt = take.take(d * keys);
  float* const k_tile = take.take(keys * d);
  float* const p = take.take(kQueriesDown * keys);
  float* const ds = take.take(kQueriesDown * keys);
  float* const q_tile = take.take(kQueriesDown * d);
  float* const do_tile = take.take(std::max(kQueriesDown, keys) * d);

  const int64_t k_offset = (begin + place.first) * k_stride() + kv_head * d;
  load_transposed(vt, keys, v + k_offset, keys, d, k_stride(), 1.0f, k_tile);
  load_transposed(kt, keys, k + k_offset, keys, d, k_stride(), 1.0f, k_tile);
  std::fill(dkt, dkt + d * keys, 0.0f);
  std::fill(dvt, dvt + d * keys, 0.0f);
  // Queries beyond the window of the block's last key see none of it.
  const int64_t end =
      shape.window > 0 ? std::min(length, place.first + keys + shape.window - 1) : length;
  for (int64_t h = 0; h < group(); ++h) {
    const int64_t head = kv_head * group() + h;
    for (int64_t first = place.first; first < end; first += kQueriesDown) {
      const int64_t queries = std::min(kQueriesDown, end - first);
      const int64_t seen = std::min(keys, first + queries - place.first);  // by any of them
      const int64_t q_offset = (begin + first) * q_stride() + head * d;
      const int64_t row = head * tokens + begin + first;
      load_tile(q_tile, q + q_offset, queries, d, q_stride(), shape.scale);
      load_tile(do_tile, d_o + q_offset, queries, d, q_stride());
      gemm(queries, seen, d, q_tile, d, 1, kt, keys, p, keys, false);
      gemm(queries, seen, d, do_tile, d, 1, vt, keys, ds, keys, false);
      if (shape.soft_cap > 0) {
        for (int64_t i = 0; i < queries; ++i) math.soft_cap(p + i * keys, seen, shape.soft_cap);
      }
      math.gradient(p, ds, queries, seen, keys, first, place.first, shape.window, shape.soft_cap,
                    lse + row, delta + row);
      gemm(d, seen, queries, do_tile, 1, d, p, keys, dvt, keys, true);
      gemm(d, seen, queries, q_tile, 1, d, ds, keys, dkt, keys, true);
      if (dq_sums != nullptr) {
        gemm(queries, d, seen, ds, keys, 1, k_tile, d, dq_sums + (h * length + first) * d, d, true);
      }
    }
  }
  float* const ones = p;
  std::fill(ones, ones + keys, 1.0f);
  store_transposed(dk + k_offset, dkt, keys, ones, keys, d, k_stride(), do_tile);
  store_transposed(dv + k_offset, dvt, keys, ones, keys, d, k_stride(), do_tile);
}

// dq, dk and dv of all query heads of one key/value head of one sequence.
template <class T>
void Backward<T>::sequence_task(int64_t sequence, int64_t kv_head, std::byte* scratch) const {
  const int64_t d = shape.head_dim;
  const int64_t begin = cu[sequence];
  const int64_t length = cu[sequence + 1] - begin;
  ScratchFloats take(scratch);
  float* const dq_sums = take.take(group() * length * d);
  std::fill(dq_sums, dq_sums + group() * length * d, 0.0f);
  for (int64_t first = 0; first < length; first += kKeysAcross) {
    key_block({sequence, first, std::min(kKeysAcross, length - first)}, kv_head, dq_sums, take);
  }
  for (int64_t h = 0; h < group(); ++h) {
    store_tile(dq + begin * q_stride() + (kv_head * group() + h) * d, dq_sums + h * length * d,
               shape.scale, length, d, q_stride());
  }
}

// dq[i] = sum_j ds k[j] for one block of queries, key blocks ascending.
template <class T>
void Backward<T>::query_task(const SequenceBlocks::Place& place, int64_t kv_head,
                             int64_t first_head, int64_t heads, std::byte* scratch) const {
  const int64_t d = shape.head_dim;
  const int64_t n = heads * place.rows;
  ScratchFloats take(scratch);
  float* const qt = take.take(d * n);
  float* const dot = take.take(d * n);
  float* const dqt = take.take(d * n);
  float* const scores = take.take(kKeyBlock * n);
  float* const ds = take.take(kKeyBlock * n);
  float* const k_tile = take.take(kKeyBlock * d);
  float* const v_tile = take.take(std::max(kKeyBlock, place.rows) * d);
  float* const column_lse = take.take(n);
  float* const column_delta = take.take(n);
  int32_t* const last_key = reinterpret_cast<int32_t*>(take.take(n));
  int32_t* const first_key = reinterpret_cast<int32_t*>(take.take(n));

  const int64_t begin = cu[place.sequence];
  const int64_t row = begin + place.first;
  for (int64_t h = 0; h < heads; ++h) {
    const int64_t head = first_head + h;
    const int64_t c = h * place.rows;
    const int64_t offset = row * q_stride() + head * d;
    load_transposed(qt + c, n, q + offset, place.rows, d, q_stride(), shape.scale, v_tile);
    load_transposed(dot + c, n, d_o + offset, place.rows, d, q_stride(), 1.0f, v_tile);
    for (int64_t i = 0; i < place.rows; ++i) {
      column_lse[c + i] = lse[head * tokens + row + i];
      column_delta[c + i] = delta[head * tokens + row + i];
      last_key[c + i] = static_cast<int32_t>(place.first + i);
      first_key[c + i] = static_cast<int32_t>(first_seen(place.first + i, shape.window));
    }
  }
  std::fill(dqt, dqt + d * n, 0.0f);
  const int64_t visible = place.first + place.rows;
  for (int64_t first = first_seen(place.first, shape.window) / kKeyBlock * kKeyBlock;
       first < visible; first += kKeyBlock) {
    const int64_t keys = std::min(kKeyBlock, visible - first);
    const int64_t offset = (begin + first) * k_stride() + kv_head * d;
    load_tile(k_tile, k + offset, keys, d, k_stride());
    load_tile(v_tile, v + offset, keys, d, k_stride());
    gemm(keys, n, d, k_tile, d, 1, qt, n, scores, n, false);
    gemm(keys, n, d, v_tile, d, 1, dot, n, ds, n, false);
    if (shape.soft_cap > 0) math.soft_cap(scores, keys * n, shape.soft_cap);
    math.gradient_transposed(scores, ds, keys, n, first, {first_key, last_key}, shape.soft_cap,
                             column_lse, column_delta);
    gemm(d, n, keys, k_tile, 1, d, ds, n, dqt, n, true);
  }
  std::fill(column_lse, column_lse + n, shape.scale);
  for (int64_t h = 0; h < heads; ++h) {
    store_transposed(dq + row * q_stride() + (first_head + h) * d, dqt + h * place.rows, n,
                     column_lse, place.rows, d, q_stride(), v_tile);
  }
}

// Whether tasks of whole sequences, 5 products instead of 7, end earlier. Both ways give the same
// bits, so this may look at the threads and their scratch.
bool whole_sequences_pay(const ThreadPool& pool, const int32_t* cu, int64_t sequences,
                         int64_t kv_heads, int64_t window, int64_t block_floats,
                         int64_t floats_per_token) {
  int64_t longest = 0;
  double total = 0;
  for (int64_t s = 0; s < sequences; ++s) {
    const int64_t length = cu[s + 1] - cu[s];
    longest = std::max(longest, length);
    total += static_cast<double>(causal_pairs(length, window) * kv_heads);
  }
  const int64_t floats = block_floats + ScratchFloats::rounded(longest * floats_per_token);
  if (floats * static_cast<int64_t>(sizeof(float)) > pool.scratch_bytes()) return false;
  // The longest task may start last.
  const double threads = pool.size();
  const double even = total / threads;
  return even + static_cast<double>(causal_pairs(longest, window)) * (1 - 1 / threads) <
         1.36 * even;
}

}  // namespace

template <class T>
void attention_backward(ThreadPool& pool, T* dq, T* dk, T* dv, float* delta, const T* d_o,
                        const T* q, const T* k, const T* v, const T* o, const float* lse,
                        const int32_t* cu, int64_t sequences, int64_t tokens,
                        const AttentionShape& shape) {
  check_bounds(kName, "cu", cu, sequences, tokens);
  const Backward<T> backward{dq, dk,  dv, delta,  d_o,   q,           k,          v,
                             o,  lse, cu, tokens, shape, tile_gemm(), tile_math()};
  const int64_t d = shape.head_dim;
  const int64_t kv_heads = shape.num_key_value_heads;
  const HeadSplit split(backward.group());
  const int64_t key_floats = backward.key_block_floats();
  check_scratch(kName, pool, std::max(key_floats, backward.query_block_floats(split)), d);

  pool.parallel_for(ceil_div(tokens, kDeltaRows), [&](int64_t task, int) {
    backward.delta_rows(task * kDeltaRows, std::min((task + 1) * kDeltaRows, tokens));
  });
  if (whole_sequences_pay(pool, cu, sequences, kv_heads, shape.window, key_floats,
                          backward.group() * d)) {
    pool.parallel_for(sequences * kv_heads, [&](int64_t task, int worker) {
      backward.sequence_task(task / kv_heads, task % kv_heads, pool.scratch(worker));
    });
  } else {
    // Earlier keys are seen by more queries, later queries see more keys: the longest tasks first.
    const SequenceBlocks key_blocks{cu, sequences, kKeysAcross};
    pool.parallel_for(key_blocks.count() * kv_heads, [&](int64_t task, int worker) {
      backward.key_block(key_blocks.find(task / kv_heads), task % kv_heads, nullptr,
                         ScratchFloats(pool.scratch(worker)));
    });
    const SequenceBlocks query_blocks{cu, sequences, split.query_block};
    const int64_t per_block = kv_heads * split.parts;
    const int64_t tasks = query_blocks.count() * per_block;
    pool.parallel_for(tasks, [&](int64_t task, int worker) {
      const int64_t index = tasks - 1 - task;
      const int64_t kv_head = index % per_block / split.parts;
      const int64_t part = index % split.parts;
      backward.query_task(query_blocks.find(index / per_block), kv_head,
                          kv_head * split.group + part * split.heads, split.heads_of(part),
                          pool.scratch(worker));
    });
  }
  zero_rows(dq, cu[sequences], tokens, shape.num_heads * d);
  zero_rows(dk, cu[sequences], tokens, kv_heads * d);
  zero_rows(dv, cu[sequences], tokens, kv_heads * d);
}

template void attention_backward(ThreadPool&, float*, float*, float*, float*, const float*,
                                 const float*, const float*, const float*, const float*,
                                 const float*, const int32_t*, int64_t, int64_t,
                                 const AttentionShape&);
template void attention_backward(ThreadPool&, bfloat16*, bfloat16*, bfloat16*, float*,
                                 const bfloat16*, const bfloat16*, const bfloat16*, const bfloat16*,
                                 const bfloat16*, const float*, const int32_t*, int64_t, int64_t,
                                 const AttentionShape&);

}  // namespace athanor::cpu
