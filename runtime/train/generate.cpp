#include "runtime/train/generate.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <optional>
#include <string>

#include "core/philox.h"
#include "runtime/model/rope_tables.h"
#include "runtime/model/transformer.h"
#include "runtime/train/session.h"
#include "sharding/param_store.h"

namespace athanor {
namespace {

constexpr int64_t kPrefillTokens = 256;  // the prompt goes through in pieces of this size

class ParamView final : public UnitView {
 public:
  explicit ParamView(const Lease& lease) : lease_(lease) {}
  ConstTensor tensor(int param) const override { return lease_.tensor(param); }
  LinearWeight weight(int param) const override { return lease_.weight(param); }
  Tensor grad(int) const override { return {}; }

 private:
  const Lease& lease_;
};

std::optional<LoraOptions> adapter_options(const std::filesystem::path& adapter) {
  if (adapter.empty()) return std::nullopt;
  return read_lora_options(adapter);
}

}  // namespace

struct Generator::Impl {
  Impl(const GenerateOptions& o, int64_t capacity_tokens)
      : options(o),
        capacity(capacity_tokens),
        memory(Tier::kDevice),
        device(memory, o.threads),
        communicator(make_solo_communicator()),
        spec(build_model_spec(load_transformer_config(o.model), adapter_options(o.adapter), false)),
        table(spec.units, o.dtype, 1),
        params(spec.units, table, std::vector<Placements>(spec.units.size()), o.dtype,
               {memory, device.compute, device.communication, *communicator}),
        rope_buffer(memory, rope_tables_shape(spec.config, capacity).numel() * 4),
        rope(rope_buffer.view(DType::kF32, rope_tables_shape(spec.config, capacity))),
        work(memory, work_bytes()),
        scratch(memory, scratch_bytes()),
        model(spec, o.dtype, rope, scratch, nullptr, device.compute) {
    fill_rope_tables(rope, spec.config, device.compute);
    load();
    carve(work);
  }

  int64_t piece() const { return std::min(capacity, kPrefillTokens); }

  int64_t work_bytes() {
    Arena measure;
    carve(measure);
    return measure.peak();
  }

  // Of a piece: the final norm, or q and k before their norms, or outputs that are split; ones for
  // biases.
  int64_t scratch_bytes() const {
    const TransformerConfig& c = spec.config;
    const int64_t qkv = c.query_size() + 2 * c.key_value_size();
    const int64_t widest = std::max({c.hidden_size, qkv, 2 * c.intermediate_size});
    const int64_t heads = c.num_attention_heads + c.num_key_value_heads;
    int64_t dora = 0;  // norms, and products with A
    if (spec.lora && spec.lora->dora) {
      for (const BlockParams& block : spec.blocks) {
        for (const int64_t rank : block.lora_rank) {
          dora = std::max(dora, (widest + rank) * (rank + 3) * 4 + 8 * kAlignment);
        }
      }
    }
    return align_up(piece() * widest * 4) + align_up(piece() * heads * 4) + 8 * kAlignment +
           align_up(piece() * 4) + dora;
  }

  void carve(Arena& arena) {
    const TransformerConfig& c = spec.config;
    // Model is not constructed while sizes are measured; its activations are a function of spec.
    Arena none;
    Transformer shapes(spec, options.dtype, Tensor{}, none, nullptr, device.compute);
    act = shapes.take_activations(arena, piece());
    for (Tensor* chain : {&x, &y}) *chain = arena.take(options.dtype, {piece(), c.hidden_size});
    for (Tensor* ints : {&ids, &positions}) *ints = arena.take(DType::kI32, {piece()});
    for (Tensor* pair : {&cu, &cache_cu}) *pair = arena.take(DType::kI32, {2});
    logits = arena.take(DType::kF32, {piece(), c.vocab_size});
    caches.clear();
    for (int64_t layer = 0; layer < c.num_hidden_layers; ++layer) {
      KeyValueCache cache;
      cache.k = arena.take(options.dtype, {capacity, c.key_value_size()});
      cache.v = arena.take(options.dtype, {capacity, c.key_value_size()});
      caches.push_back(cache);
    }
  }

  void load() {
    ModelFiles base(options.model);
    std::unique_ptr<SafetensorsFile> adapter;
    if (!options.adapter.empty()) {
      adapter =
          std::make_unique<SafetensorsFile>(checked_model_file(options.adapter, kPeftWeightsFile));
    }
    ModelParamSource source({&base, adapter.get(), 0, 0, 1, spec.head_from_embedding});
    source.check(spec.units);
    params.load(&source);
  }

  // Runs `tokens` (at most piece() of them) behind what the caches hold; returns the chain's end.
  Tensor forward(std::span<const int32_t> tokens) {
    const auto n = static_cast<int64_t>(tokens.size());
    ATHANOR_CHECK(length + n <= capacity, "the cache is full");
    for (int64_t i = 0; i < n; ++i) {
      ids.data<int32_t>()[i] = tokens[static_cast<size_t>(i)];
      positions.data<int32_t>()[i] = narrow<int32_t>(length + i);
    }
    cu.data<int32_t>()[1] = narrow<int32_t>(n);
    cache_cu.data<int32_t>()[1] = narrow<int32_t>(length + n);
    MicroBatchView batch;
    batch.ids = ids.rows(0, n);
    batch.positions = positions.rows(0, n);
    batch.cu_seqlens = cu;
    batch.tokens = n;
    batch.attention_pairs = n * length + causal_pairs(n);
    Tensor in = x.rows(0, n);
    Tensor out = y.rows(0, n);
    {
      const Lease lease = params.acquire(0);
      model.embed(in, ParamView(lease), batch);
    }
    for (int layer = 0; layer < static_cast<int>(spec.config.num_hidden_layers); ++layer) {
      const Lease lease = params.acquire(layer + 1);
      BlockActivations view = act.narrowed(n);
      KeyValueCache& cache = caches[static_cast<size_t>(layer)];
      cache.length = length;
      model.block_forward_cached(out, in, layer, ParamView(lease), view, batch, cache, cache_cu);
      std::swap(in, out);
    }
    held.insert(held.end(), tokens.begin(), tokens.end());
    length += n;
    return in;
  }

  // What the caches hold of `prompt` from its start is kept, all but the prompt's last token at
  // most, and the rest forgotten. The bits of a token do not depend on which others it came with.
  int64_t keep_common(std::span<const int32_t> prompt) {
    const auto last = prompt.end() - 1;
    length = std::mismatch(prompt.begin(), last, held.begin(), held.end()).first - prompt.begin();
    held.resize(static_cast<size_t>(length));
    return length;
  }

  Tensor head(Tensor rows) {
    const Lease lease = params.acquire(spec.chain.back().unit);
    const Tensor result = logits.rows(0, rows.dim(0));
    model.logits(result, rows, ParamView(lease));
    return result;
  }

  int32_t pick(const float* row, int64_t index) const {
    const int64_t vocab = spec.config.vocab_size;
    if (options.temperature <= 0) {
      return static_cast<int32_t>(std::max_element(row, row + vocab) - row);
    }
    std::vector<int32_t> order(static_cast<size_t>(vocab));
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(),
                     [row](int32_t a, int32_t b) { return row[a] > row[b]; });
    std::vector<double> weights;
    double total = 0;
    for (int32_t id : order) {
      weights.push_back(
          std::exp((static_cast<double>(row[id]) - row[order[0]]) / options.temperature));
      total += weights.back();
    }
    double kept = 0;  // the smallest set of top tokens with at least top_p of the mass
    size_t count = 0;
    while (count < weights.size() && (count == 0 || kept < options.top_p * total)) {
      kept += weights[count++];
    }
    const PhiloxKey key{options.seed, 0x67656e6572617465ULL};
    double draw = static_cast<double>(key.uniform(static_cast<uint64_t>(index))) * kept;
    for (size_t i = 0; i + 1 < count; ++i) {
      draw -= weights[i];
      if (draw < 0) return order[i];
    }
    return order[count - 1];
  }

  GenerateOptions options;
  int64_t capacity;
  HostAllocator memory;
  CpuDevice device;
  std::unique_ptr<Communicator> communicator;
  ModelSpec spec;
  PartitionTable table;
  ParamStore params;
  Buffer rope_buffer;
  Tensor rope;
  BlockActivations act;
  Tensor x, y, ids, positions, cu, cache_cu, logits;
  std::vector<KeyValueCache> caches;
  Arena work;
  Arena scratch;
  Transformer model;
  int64_t length = 0;
  std::vector<int32_t> held;  // [length], the ids whose keys and values the caches hold
};

Generator::Generator(const GenerateOptions& options, int64_t capacity)
    : impl_(std::make_unique<Impl>(options, capacity)) {}
Generator::~Generator() = default;

int64_t Generator::vocab_size() const { return impl_->spec.config.vocab_size; }

void Generator::generate(std::span<const int32_t> prompt,
                         const std::function<bool(int32_t)>& on_token) {
  ATHANOR_CHECK(!prompt.empty(), "generation needs a token to start from");
  Tensor last;
  for (auto begin = static_cast<size_t>(impl_->keep_common(prompt)); begin < prompt.size();
       begin += static_cast<size_t>(impl_->piece())) {
    const size_t count = std::min(static_cast<size_t>(impl_->piece()), prompt.size() - begin);
    const Tensor end = impl_->forward(prompt.subspan(begin, count));
    last = end.rows(static_cast<int64_t>(count) - 1, 1);
  }
  for (int64_t i = 0; i < impl_->options.max_new_tokens; ++i) {
    const Tensor logits = impl_->head(last);
    const int32_t id = impl_->pick(logits.data<float>(), i);
    if (!on_token(id) || i + 1 == impl_->options.max_new_tokens) return;
    last = impl_->forward(std::span(&id, 1));
  }
}

std::vector<float> Generator::logits(std::span<const int32_t> ids) {
  impl_->length = 0;
  impl_->held.clear();
  std::vector<float> result;
  for (size_t begin = 0; begin < ids.size(); begin += static_cast<size_t>(impl_->piece())) {
    const size_t count = std::min(static_cast<size_t>(impl_->piece()), ids.size() - begin);
    const Tensor logits = impl_->head(impl_->forward(ids.subspan(begin, count)));
    result.insert(result.end(), logits.data<float>(), logits.data<float>() + logits.numel());
  }
  return result;
}

}  // namespace athanor
