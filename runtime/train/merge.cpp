#include "runtime/train/merge.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <system_error>

#include "core/buffer.h"
#include "core/error.h"
#include "core/philox.h"
#include "core/thread_pool.h"
#include "runtime/io/model_files.h"
#include "runtime/io/peft.h"
#include "runtime/io/safetensors_writer.h"
#include "runtime/model/model_spec.h"
#include "runtime/model/param_source.h"
#include "runtime/train/generate.h"
#include "runtime/train/output.h"
#include "runtime/train/session.h"

namespace athanor {
namespace {

constexpr int64_t kRowBytes = int64_t{4} << 20;  // of float32 rows at a time

// The factors of one adapted layer, whole: they are small.
struct Factors {
  int64_t rank = 0;
  float scaling = 0;
  std::vector<float> a;          // [rank, in]
  std::vector<float> b;          // [out, rank]
  std::vector<float> magnitude;  // [out], empty without DoRA
};

struct Item {
  TensorDecl decl;
  const ParamSpec* param = nullptr;    // null: bytes of the base's file as they are
  const BlockParams* block = nullptr;  // with an adapter:
  const std::vector<ParamSpec>* params = nullptr;
  int module = 0;
};

DType out_dtype(DType stored, const MergeOptions& options) {
  return is_floating(stored) ? options.dtype.value_or(stored) : stored;
}

class Merger {
 public:
  explicit Merger(const MergeOptions& options)
      : options_(options),
        base_(options.model),
        spec_(build_model_spec(load_transformer_config(options.model),
                               options.adapter.empty()
                                   ? std::nullopt
                                   : std::optional(read_lora_options(options.adapter)),
                               false)),
        memory_(Tier::kHost),
        pool_(options.threads, memory_, kThreadScratchBytes) {
    if (!options.adapter.empty()) {
      adapter_ =
          std::make_unique<SafetensorsFile>(checked_model_file(options.adapter, kPeftWeightsFile));
    }
    source_ = std::make_unique<ModelParamSource>(
        ParamOrigins{&base_, adapter_.get(), 0, 0, 1, spec_.head_from_embedding});
    source_->check(spec_.units);
    list_items();
  }

  MergeReport write() {
    std::vector<TensorDecl> decls;
    for (const Item& item : items_) decls.push_back(item.decl);
    ShardedModelWriter writer(options_.output, decls);
    for (const Item& item : items_) {
      for_each_piece(item, [&](int64_t begin, std::span<const std::byte> bytes) {
        writer.write_at(item.decl.name, begin, bytes);
      });
    }
    writer.commit();
    MergeReport report;
    report.tensors = static_cast<int64_t>(items_.size());
    report.merged = std::ranges::count_if(items_, [](const Item& i) { return i.block != nullptr; });
    report.files = writer.files();
    return report;
  }

  void verify() {
    const ModelFiles written(options_.output);
    std::vector<std::byte> found;
    for (const Item& item : items_) {
      const TensorLocation at = written.get(item.decl.name);
      for_each_piece(item, [&](int64_t begin, std::span<const std::byte> bytes) {
        found.resize(bytes.size());
        at.file->read(*at.entry, begin, found);
        if (std::memcmp(found.data(), bytes.data(), bytes.size()) != 0) {
          throw Error(ErrorKind::kIo, at.file->path().string() + ": " + item.decl.name +
                                          ": read back other bytes than were written; the file "
                                          "system or the disk is at fault");
        }
      });
    }
  }

  bool unties() const { return spec_.head_from_embedding; }

 private:
  void list_items() {
    std::map<std::string, Item> items;
    for (const std::string& name : base_.names()) {
      const TensorEntry& entry = *base_.get(name).entry;
      items[name].decl = {name, entry.dtype, entry.shape};
    }
    for (size_t unit = 0; unit < spec_.units.size(); ++unit) {
      for (const ParamSpec& param : spec_.units[unit].params) {
        if (parse_peft_tensor_name(param.name)) continue;
        Item& item = items[param.name];
        if (item.decl.name.empty()) {  // the head that was tied
          item.decl = items["model.embed_tokens.weight"].decl;
          item.decl.name = param.name;
        }
        item.param = &param;
        item.decl.dtype = out_dtype(item.decl.dtype, options_);
      }
    }
    for (size_t layer = 0; layer < spec_.blocks.size(); ++layer) {
      const std::vector<ParamSpec>& params = spec_.units[layer + 1].params;
      const BlockParams& block = spec_.blocks[layer];
      for (int module = 0; module < kNumModules; ++module) {
        const auto m = static_cast<size_t>(module);
        if (block.weight[m] < 0 || block.lora_a[m] < 0) continue;
        Item& item = items[params[static_cast<size_t>(block.weight[m])].name];
        item.block = &block;
        item.params = &params;
        item.module = module;
      }
    }
    for (auto& [name, item] : items) items_.push_back(std::move(item));
  }

  std::vector<float> whole(const ParamSpec& param) {
    std::vector<float> values(static_cast<size_t>(param.shape.numel()));
    source_->read(param, 0, param.shape.numel(), DType::kF32, values.data());
    return values;
  }

  Factors factors_of(const Item& item) {
    const auto m = static_cast<size_t>(item.module);
    const auto param = [&](int index) -> const ParamSpec& {
      return (*item.params)[static_cast<size_t>(index)];
    };
    Factors factors;
    factors.rank = item.block->lora_rank[m];
    factors.scaling = item.block->lora_scaling[m];
    factors.a = whole(param(item.block->lora_a[m]));
    factors.b = whole(param(item.block->lora_b[m]));
    if (item.block->lora_magnitude[m] >= 0) {
      factors.magnitude = whole(param(item.block->lora_magnitude[m]));
    }
    return factors;
  }

  // One row of W becomes the merged row.
  static void merge_row(float* row, int64_t columns, int64_t index, const Factors& factors) {
    std::vector<float> delta(static_cast<size_t>(columns));
    for (int64_t r = 0; r < factors.rank; ++r) {
      const float b = factors.b[static_cast<size_t>(index * factors.rank + r)];
      const float* const a = factors.a.data() + r * columns;
      for (int64_t j = 0; j < columns; ++j) {
        delta[static_cast<size_t>(j)] = std::fma(b, a[j], delta[static_cast<size_t>(j)]);
      }
    }
    double squares = 0;
    for (int64_t j = 0; j < columns; ++j) {
      row[j] += factors.scaling * delta[static_cast<size_t>(j)];
      squares += static_cast<double>(row[j]) * static_cast<double>(row[j]);
    }
    if (factors.magnitude.empty()) return;
    const double scale =
        static_cast<double>(factors.magnitude[static_cast<size_t>(index)]) / std::sqrt(squares);
    for (int64_t j = 0; j < columns; ++j) {
      row[j] = static_cast<float>(static_cast<double>(row[j]) * scale);
    }
  }

  // Calls put(byte offset in the tensor, bytes) for all of it, in order.
  template <class Put>
  void for_each_piece(const Item& item, const Put& put) {
    if (item.param == nullptr) {
      copy_bytes(item, put);
      return;
    }
    const ParamSpec& param = *item.param;
    const int64_t elements = param.shape.numel();
    const int64_t columns = param.shape.rank() == 2 ? param.shape[1] : 1;
    const int64_t rows = std::max<int64_t>(1, kRowBytes / 4 / columns);
    const Factors factors = item.block != nullptr ? factors_of(item) : Factors{};
    values_.resize(static_cast<size_t>(std::min(elements, rows * columns)));
    for (int64_t begin = 0; begin < elements; begin += rows * columns) {
      const int64_t count = std::min(rows * columns, elements - begin);
      source_->read(param, begin, count, DType::kF32, values_.data());
      if (item.block != nullptr) {
        pool_.parallel_for(count / columns, [&](int64_t row, int) {
          merge_row(values_.data() + row * columns, columns, begin / columns + row, factors);
        });
      }
      put(begin * dtype_size(item.decl.dtype), cast(count, item.decl.dtype));
    }
  }

  template <class Put>
  void copy_bytes(const Item& item, const Put& put) {
    const TensorLocation at = base_.get(item.decl.name);
    std::vector<std::byte> bytes(static_cast<size_t>(std::min(at.entry->bytes, kRowBytes)));
    for (int64_t begin = 0; begin < at.entry->bytes; begin += kRowBytes) {
      const auto count = static_cast<size_t>(std::min(kRowBytes, at.entry->bytes - begin));
      at.file->read(*at.entry, begin, std::span(bytes).first(count));
      put(begin, std::span<const std::byte>(bytes).first(count));
    }
  }

  std::span<const std::byte> cast(int64_t count, DType dtype) {
    const std::span values(values_.data(), static_cast<size_t>(count));
    if (dtype == DType::kF32) return std::as_bytes(values);
    if (dtype != DType::kBF16) {
      throw Error(ErrorKind::kBadInput,
                  options_.model.string() + ": weights are " + dtype_name(dtype) +
                      ", needed a dtype to write: --dtype float32 or bfloat16");
    }
    narrow_.resize(values.size());
    for (size_t i = 0; i < values.size(); ++i) narrow_[i] = to_bfloat16(values[i]);
    return std::as_bytes(std::span(narrow_));
  }

  const MergeOptions& options_;
  ModelFiles base_;
  ModelSpec spec_;
  std::unique_ptr<SafetensorsFile> adapter_;
  std::unique_ptr<ModelParamSource> source_;
  HostAllocator memory_;
  ThreadPool pool_;
  std::vector<Item> items_;
  std::vector<float> values_;
  std::vector<bfloat16> narrow_;
};

}  // namespace

MergeReport merge_adapter(const MergeOptions& options) {
  std::error_code failed;
  std::filesystem::create_directories(options.output, failed);
  if (failed) {
    throw Error(ErrorKind::kIo,
                "--output " + options.output.string() + ": cannot create: " + failed.message());
  }
  Merger merger(options);
  const MergeReport report = merger.write();
  merger.verify();
  write_model_config(options.model, options.output, options.dtype, merger.unties());
  copy_tokenizer_files(options.model, options.output);
  return report;
}

LogitComparison compare_logits(const MergeOptions& options, int64_t tokens) {
  GenerateOptions before;
  before.model = options.model;
  before.adapter = options.adapter;
  before.threads = options.threads;
  GenerateOptions after = before;
  after.model = options.output;
  after.adapter.clear();
  std::vector<int32_t> ids;
  std::vector<float> expected;
  int64_t vocab = 0;
  {
    Generator generator(before, tokens);
    vocab = generator.vocab_size();
    const PhiloxKey key{42, 0x70726f6265ULL};
    for (int64_t i = 0; i < tokens; ++i) {
      const double share = static_cast<double>(key.uniform(static_cast<uint64_t>(i)));
      ids.push_back(static_cast<int32_t>(share * static_cast<double>(vocab)));
    }
    expected = generator.logits(ids);
  }
  const std::vector<float> merged = Generator(after, tokens).logits(ids);
  LogitComparison result;
  result.positions = tokens;
  for (int64_t position = 0; position < tokens; ++position) {
    const float* const a = expected.data() + position * vocab;
    const float* const b = merged.data() + position * vocab;
    for (int64_t i = 0; i < vocab; ++i) {
      const double difference = std::abs(static_cast<double>(a[i]) - static_cast<double>(b[i]));
      // Not a number is the largest difference there is.
      if (!(difference <= result.largest_difference)) result.largest_difference = difference;
      result.largest_logit = std::max(result.largest_logit, std::abs(static_cast<double>(a[i])));
    }
    if (std::max_element(a, a + vocab) - a == std::max_element(b, b + vocab) - b) {
      ++result.same_choice;
    }
  }
  return result;
}

}  // namespace athanor
