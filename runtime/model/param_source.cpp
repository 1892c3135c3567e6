#include "runtime/model/param_source.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <set>
#include <string>
#include <vector>

#include "core/error.h"
#include "core/philox.h"
#include "runtime/io/peft.h"

namespace athanor {
namespace {

// FNV-1a: the random stream of a parameter is its name's.
uint64_t hash_name(const std::string& name) {
  uint64_t hash = 0xcbf29ce484222325ULL;
  for (const char c : name) hash = (hash ^ static_cast<uint8_t>(c)) * 0x100000001b3ULL;
  return hash;
}

void store(void* dst, DType dtype, int64_t i, float value) {
  if (dtype == DType::kF32) {
    static_cast<float*>(dst)[i] = value;
  } else {
    static_cast<bfloat16*>(dst)[i] = to_bfloat16(value);
  }
}

template <class Value>
void fill(void* dst, DType dtype, int64_t begin, int64_t count, const Value& value) {
  for (int64_t i = 0; i < count; ++i) store(dst, dtype, i, value(begin + i));
}

// Normal by Box and Muller, two words of a Philox block each.
float normal(const PhiloxKey& key, int64_t element, double deviation) {
  const PhiloxBlock block = key.block(static_cast<uint64_t>(element / 2));
  const size_t word = static_cast<size_t>(element % 2) * 2;
  const double u1 = (static_cast<double>(block[word]) + 1.0) * 0x1.0p-32;
  const double u2 = static_cast<double>(block[word + 1]) * 0x1.0p-32;
  return static_cast<float>(deviation * std::sqrt(-2.0 * std::log(u1)) *
                            std::cos(2.0 * std::numbers::pi * u2));
}

std::string shape_text(const std::vector<int64_t>& shape) {
  std::string text = "[";
  for (size_t i = 0; i < shape.size(); ++i) {
    text += (i == 0 ? "" : ", ") + std::to_string(shape[i]);
  }
  return text + "]";
}

std::string adapter_name(const ParamSpec& param) {
  return parse_peft_tensor_name(param.name) ? param.name : peft_saved_name(param.name);
}

void check_tensor(const TensorEntry* entry, const ParamSpec& param, const std::string& name,
                  const std::string& file) {
  if (entry == nullptr) throw Error(ErrorKind::kBadInput, file + ": no tensor " + name);
  std::vector<int64_t> wanted;
  for (int axis = 0; axis < param.shape.rank(); ++axis) wanted.push_back(param.shape[axis]);
  if (entry->shape != wanted) {
    throw Error(ErrorKind::kBadInput, file + ": " + name + " has shape " +
                                          shape_text(entry->shape) + ", needed " +
                                          shape_text(wanted));
  }
  if (!is_floating(entry->dtype)) {
    throw Error(ErrorKind::kBadInput, file + ": " + name + " is " + dtype_name(entry->dtype) +
                                          ", needed F32, BF16 or F16");
  }
}

}  // namespace

const std::string& ModelParamSource::base_name(const ParamSpec& param) const {
  static const std::string kEmbedding = "model.embed_tokens.weight";
  return origins_.head_from_embedding && param.name == "lm_head.weight" ? kEmbedding : param.name;
}

// LoRA's own tensors, and those of modules that train whole beside them.
bool ModelParamSource::in_adapter(const ParamSpec& param) const {
  return origins_.adapter != nullptr &&
         (param.trainable || parse_peft_tensor_name(param.name).has_value());
}

// DoRA's magnitude begins as the norm of the weight's row.
float ModelParamSource::row_norm(const std::string& weight, int64_t row) {
  const auto found = matrices_.find(weight);
  ATHANOR_CHECK(found != matrices_.end(), weight + " was not checked");
  const int64_t columns = found->second.shape[1];
  std::vector<float> values(static_cast<size_t>(columns));
  read(found->second, row * columns, columns, DType::kF32, values.data());
  double sum = 0;
  for (const float value : values) sum += static_cast<double>(value) * static_cast<double>(value);
  return static_cast<float>(std::sqrt(sum));
}

void ModelParamSource::read(const ParamSpec& param, int64_t begin, int64_t count, DType dtype,
                            void* dst) {
  const auto lora = parse_peft_tensor_name(param.name);
  const PhiloxKey key{origins_.seed, hash_name(base_name(param))};
  if (in_adapter(param)) {
    const TensorEntry* entry = origins_.adapter->find(adapter_name(param));
    ATHANOR_CHECK(entry != nullptr, param.name + " was not checked");
    read_elements(*origins_.adapter, *entry, begin, count, dtype, dst);
  } else if (!lora) {
    if (origins_.base != nullptr) {
      origins_.base->read_elements(base_name(param), begin, count, dtype, dst);
    } else if (param.kind == ParamKind::kVector) {
      const float value = param.name.ends_with(".bias") ? 0.0f : origins_.norm_weight;
      fill(dst, dtype, begin, count, [=](int64_t) { return value; });
    } else {
      fill(dst, dtype, begin, count,
           [&](int64_t i) { return normal(key, i, origins_.initializer_range); });
    }
  } else if (lora->factor == LoraFactor::kMagnitude) {
    const std::string weight = lora->module_path + ".weight";
    fill(dst, dtype, begin, count, [&](int64_t row) { return row_norm(weight, row); });
  } else if (lora->factor == LoraFactor::kB) {
    fill(dst, dtype, begin, count, [](int64_t) { return 0.0f; });
  } else {
    // Kaiming uniform with a = sqrt(5), as PEFT: bound = 1 / sqrt(in).
    const auto bound = static_cast<float>(1.0 / std::sqrt(static_cast<double>(param.shape[1])));
    fill(dst, dtype, begin, count,
         [&](int64_t i) { return (2.0f * key.uniform(static_cast<uint64_t>(i)) - 1.0f) * bound; });
  }
}

std::optional<FileExtent> ModelParamSource::extent(const ParamSpec& param, int64_t begin,
                                                   int64_t count, DType dtype) {
  if (origins_.base == nullptr || in_adapter(param) || parse_peft_tensor_name(param.name)) {
    return std::nullopt;
  }
  const TensorLocation found = origins_.base->get(base_name(param));
  if (found.entry->dtype != dtype) return std::nullopt;
  const int64_t size = dtype_size(dtype);
  return FileExtent{found.file->path().string(), found.entry->file_offset + begin * size,
                    count * size};
}

void ModelParamSource::check(const std::vector<UnitSpec>& units) {
  std::set<std::string> wanted;
  for (const UnitSpec& unit : units) {
    for (const ParamSpec& param : unit.params) {
      const bool lora = parse_peft_tensor_name(param.name).has_value();
      if (!lora && param.kind == ParamKind::kMatrix) matrices_[param.name] = param;
      if (in_adapter(param)) {
        const std::string name = adapter_name(param);
        wanted.insert(name);
        check_tensor(origins_.adapter->find(name), param, name, origins_.adapter->path().string());
        // What is tied stands there under both names.
        if (unit.uses > 1 && param.name == "model.embed_tokens.weight") {
          wanted.insert(peft_saved_name("lm_head.weight"));
        }
      }
      if (!lora && origins_.base != nullptr) {
        const TensorLocation found = origins_.base->get(base_name(param));
        check_tensor(found.entry, param, base_name(param), found.file->path().string());
      }
    }
  }
  if (origins_.adapter == nullptr) return;
  for (const TensorEntry& entry : origins_.adapter->entries()) {
    if (wanted.contains(entry.name)) continue;
    throw Error(ErrorKind::kBadInput, origins_.adapter->path().string() + ": tensor " + entry.name +
                                          " belongs to no adapted layer of this model");
  }
}

}  // namespace athanor
