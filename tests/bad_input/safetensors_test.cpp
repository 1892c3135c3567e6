// Weights: safetensors files and the index of shards.
#include <cstdlib>

#include "tests/bad_input/scene.h"

namespace athanor::testing {
namespace {

namespace fs = std::filesystem;

constexpr char kWeights[] = "model/model.safetensors";
constexpr char kIndex[] = "model/model.safetensors.index.json";
constexpr char kEmbedding[] = "model.embed_tokens.weight";

auto file_of(std::string content) {
  return [content = std::move(content)](Scene& s) { s.write(kWeights, content); };
}

// One tensor "a" whose description is `fields`.
auto tensor_of(const std::string& fields, size_t data_bytes) {
  return file_of(safetensors("{\"a\":{" + fields + "}}", data_bytes));
}

auto header_with(std::function<void(Json&)> edit) {
  return [edit = std::move(edit)](Scene& s) { s.edit_header(kWeights, edit); };
}

auto cut_to(uintmax_t bytes) {
  return [bytes](Scene& s) { fs::resize_file(s / kWeights, bytes); };
}

auto cut_by(uintmax_t bytes) {
  return [bytes](Scene& s) { fs::resize_file(s / kWeights, fs::file_size(s / kWeights) - bytes); };
}

const BadInput kFiles[] = {
    {"CutOffData", 65, "model.safetensors", "do not lie in the", "cut off", cut_by(8)},
    {"CutOffHeader", 65, "model.safetensors", "only 100 bytes", "header length", cut_to(100)},
    {"EmptyFile", 65, "model.safetensors", "found 0 bytes", "at least the 8", cut_to(0)},
    {"HugeHeaderLength", 65, "model.safetensors", "header length 4557430888798830399",
     "at most 100000000", file_of("????????{}")},
    {"HeaderLongerThanTheFile", 65, "model.safetensors", "header length 256", "only 10 bytes",
     file_of(std::string("\0\1\0\0\0\0\0\0{}", 10))},
    {"LfsPointer", 65, "model.safetensors", "git-LFS pointer", "git lfs pull",
     file_of("version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 12345\n")},
    {"HeaderIsNoJson", 65, "model.safetensors", "not valid JSON", "expected",
     file_of(safetensors("{\"a\" 1}"))},
    {"HeaderIsAList", 65, "model.safetensors", "begin", "'{'", file_of(safetensors("[]"))},
    {"Overlap", 65, "model.safetensors", "begins at byte", "overlaps", header_with([](Json& h) {
       auto& offsets = h["model.layers.0.input_layernorm.weight"]["data_offsets"];
       offsets = {offsets[0].get<int>() - 4, offsets[1].get<int>() - 4};
     })},
    {"Hole", 65, "model.safetensors", "begins at byte", "a hole before it",
     file_of(safetensors(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},)"
                         R"("b":{"dtype":"F32","shape":[1],"data_offsets":[8,12]}})",
                         12))},
    {"BytesBehindTheTensors", 65, "model.safetensors", "the tensors end at byte", "the file at",
     tensor_of(R"("dtype":"F32","shape":[1],"data_offsets":[0,4])", 8)},
    {"TensorTwice", 65, "model.safetensors", "the key \"a\"", "twice",
     file_of(safetensors(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},)"
                         R"("a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})",
                         4))},
    {"FieldTwice", 65, "model.safetensors", "the key \"shape\"", "twice",
     tensor_of(R"("dtype":"F32","shape":[1],"shape":[2],"data_offsets":[0,4])", 4)},
    {"IntegerWeights", 65, kEmbedding, "is I32", "needed F32, BF16 or F16",
     header_with([](Json& h) { h[kEmbedding]["dtype"] = "I32"; })},
    {"UnknownDtype", 65, "tensor \"a\"", "unknown dtype", "F33",
     tensor_of(R"("dtype":"F33","shape":[1],"data_offsets":[0,4])", 4)},
    {"DoubleWeights", 65, "tensor \"a\"", "dtype F64", "needed F32, BF16",
     tensor_of(R"("dtype":"F64","shape":[1],"data_offsets":[0,8])", 8)},
    {"NegativeOffset", 65, "tensor \"a\"", "[-4,4]", "do not lie in the 8 bytes",
     tensor_of(R"("dtype":"F32","shape":[2],"data_offsets":[-4,4])", 8)},
    {"OffsetsReversed", 65, "tensor \"a\"", "[8,4]", "do not lie in the 8 bytes",
     tensor_of(R"("dtype":"F32","shape":[1],"data_offsets":[8,4])", 8)},
    {"OffsetBeyondTheFile", 65, "tensor \"a\"", "[0,9007199254740993]", "do not lie in the 4 bytes",
     tensor_of(R"("dtype":"F32","shape":[1],"data_offsets":[0,9007199254740993])", 4)},
    {"OffsetIsAFloat", 65, "tensor \"a\"", "4.0", "do not lie in",
     tensor_of(R"("dtype":"F32","shape":[1],"data_offsets":[0,4.0])", 4)},
    {"SizeBeyond63Bits", 65, "tensor \"a\"", "18446744073709551615", "needed a size",
     tensor_of(R"("dtype":"F32","shape":[18446744073709551615],"data_offsets":[0,4])", 4)},
    {"SizesOverflow", 65, "tensor \"a\"", "x 4294967296", "not a valid size",
     tensor_of(R"("dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,4])", 4)},
    {"ShapeDisagreesWithOffsets", 65, "tensor \"a\"", "span 4 bytes", "needed 8",
     tensor_of(R"("dtype":"F32","shape":[2],"data_offsets":[0,4])", 4)},
    {"TooManyDimensions", 65, "tensor \"a\"", "shape has 65 dimensions", "at most 64",
     [](Scene& s) {
       const Json shape(std::vector<int>(65, 1));
       tensor_of(R"("dtype":"F32","data_offsets":[0,4],"shape":)" + shape.dump(), 4)(s);
     }},
    {"UnknownField", 65, "tensor \"a\"", "unknown field", "\"stride\"",
     tensor_of(R"("dtype":"F32","shape":[1],"stride":[1],"data_offsets":[0,4])", 4)},
    {"DeepHeader", 65, "model.safetensors", "nested deeper", "levels",
     file_of(safetensors("{\"a\":" + std::string(100'000, '[')))},
    {"NameIsNotUtf8", 65, "model.safetensors", "not valid JSON", "UTF-8",
     file_of(safetensors("{\"\xff\xfe\":1}"))},
    {"MetadataIsANumber", 65, "__metadata__.a", "found 1", "needed a string",
     file_of(safetensors(R"({"__metadata__":{"a":1}})"))},
    {"WrongShape", 65, kEmbedding, "has shape [48, 131]", "needed [131, 48]",
     header_with([](Json& h) {
       h[kEmbedding]["shape"] = {48, 131};
     })},
    {"TensorMissing", 65, "model", "has no tensor", "model.norm.weight", header_with([](Json& h) {
       h["model.nrm.weight"] = h["model.norm.weight"];
       h.erase("model.norm.weight");
     })},
    {"WeightsAreAFolder", 65, "model.safetensors", "not a regular", "file",
     [](Scene& s) { s.make_folder(kWeights); }},
    {"WeightsAreAFifo", 65, "model.safetensors", "not a regular", "file",
     [](Scene& s) { s.make_fifo(kWeights); }},
    {"NoWeights", 65, "model", "holds neither model.safetensors",
     "nor model.safetensors.index.json", [](Scene& s) { fs::remove(s / kWeights); }},
    {"LinkOutOfTheFolder", 65, "model.safetensors", "elsewhere", "outside of the model folder",
     [](Scene& s) {
       fs::rename(s / kWeights, s / "elsewhere");
       s.link(kWeights, s / "elsewhere");
     }},
    {"LinkToItself", 65, "model.safetensors", "cannot be opened", "symbolic links",
     [](Scene& s) { s.link(kWeights, s / kWeights); }},
    {"WeightsUnreadable", 74, "model.safetensors", "cannot open", "Permission denied",
     [](Scene& s) {
       fs::permissions(s / kWeights, fs::perms::none);
       s.without_privileges();
     }},
};

ATHANOR_BAD_INPUT(Safetensors, kFiles);

// Two shards with all tensors each, and an index that takes every second one from each.
void split_in_two(Scene& s) {
  Json map = Json::object();
  bool first = false;
  s.edit_header(kWeights, [&](Json& header) {
    for (const auto& item : header.items()) {
      if (item.key() == "__metadata__") continue;
      first = !first;
      map[item.key()] = first ? "one.safetensors" : "two.safetensors";
    }
  });
  fs::copy(s / kWeights, s / "model/one.safetensors");
  fs::rename(s / kWeights, s / "model/two.safetensors");
  s.write(kIndex, Json{{"weight_map", map}}.dump());
}

// Only an index, which names `file` for every tensor.
auto index_to(const char* file) {
  return [file](Scene& s) {
    split_in_two(s);
    s.edit_json(kIndex, [file](Json& index) {
      for (auto& name : index["weight_map"]) name = file;
    });
  };
}

auto index_of(std::string text) {
  return [text = std::move(text)](Scene& s) {
    fs::remove(s / kWeights);
    s.write(kIndex, text);
  };
}

const BadInput kIndexes[] = {
    {"PathUpwards", 65, "model", "\"../one.safetensors\"", "plain file name",
     index_to("../one.safetensors")},
    {"AbsolutePath", 65, "model", "\"/etc/passwd\"", "plain file name", index_to("/etc/passwd")},
    {"EmptyName", 65, "model", "\"\"", "plain file name", index_to("")},
    {"ShardMissing", 65, "three.safetensors", "cannot be opened", "No such file",
     index_to("three.safetensors")},
    {"TensorInTwoShards", 65, ".safetensors", "holds tensor", "needed it in one file",
     split_in_two},
    {"TensorNotInItsShard", 65, "index.json", "\"extra\" is not in", "one.safetensors",
     [](Scene& s) {
       index_to("one.safetensors")(s);
       s.edit_json(kIndex, [](Json& index) { index["weight_map"]["extra"] = "one.safetensors"; });
     }},
    {"ShardLinksOutOfTheFolder", 65, "one.safetensors", "elsewhere", "outside of the model folder",
     [](Scene& s) {
       index_to("one.safetensors")(s);
       fs::rename(s / "model/one.safetensors", s / "elsewhere");
       s.link("model/one.safetensors", s / "elsewhere");
     }},
    {"NoWeightMap", 65, "index.json", "weight_map", "no object", index_of("{}")},
    {"FileIsANumber", 65, "index.json", "found 3", "needed a file name",
     index_of(R"({"weight_map":{"a":3}})")},
    {"TensorTwiceInIndex", 65, "index.json", "the key \"a\"", "twice",
     index_of(R"({"weight_map":{"a":"x","a":"y"}})")},
    {"IndexIsNoJson", 65, "index.json", "not valid JSON", "unexpected",
     index_of("{\"weight_map\"")},
    {"DeepIndex", 65, "index.json", "nested deeper", "8 levels",
     index_of("{\"weight_map\":" + std::string(100'000, '['))},
    {"ShardIsCutOff", 65, "one.safetensors", "do not lie in", "cut off",
     [](Scene& s) {
       index_to("one.safetensors")(s);
       const fs::path shard = s / "model/one.safetensors";
       fs::resize_file(shard, fs::file_size(shard) - 8);
     }},
};

ATHANOR_BAD_INPUT(ShardIndex, kIndexes);

// Files that other implementations are tested with, as weights.
auto foreign(const char* name) {
  return [name](Scene& s) {
    const char* data = std::getenv("ATHANOR_TEST_DATA");
    if (data == nullptr) {
      s.skip = "ATHANOR_TEST_DATA is not set";
      return;
    }
    fs::copy(fs::path(data) / "safetensors-bad" / name, s / kWeights,
             fs::copy_options::overwrite_existing);
  };
}

const BadInput kForeign[] = {
    {"Incomplete", 65, "model.safetensors", "do not lie in", "cut off",
     foreign("incomplete_missing_2_bytes.safetensors")},
    {"HeaderTooSmall", 65, "model.safetensors", "found", "needed at least the 8",
     foreign("header_too_small.safetensors")},
    {"HeaderNotJson", 65, "model.safetensors", "", "", foreign("header_not_json.safetensors")},
    {"OverflowShape", 65, "tensor \"test\"", "18446744073709551614", "needed a size",
     foreign("overflow_shape.safetensors")},
    {"JsonAttackOverlap", 65, "model.safetensors", "begins at byte", "overlaps",
     foreign("json_attack_overlap.safetensors")},
    // These two are well-formed, but not this model.
    {"OtherTensors", 65, "model", "has no tensor", "model.embed_tokens.weight",
     foreign("ok_basic.safetensors")},
    {"NoTensors", 65, "model", "has no tensor", "model.embed_tokens.weight",
     foreign("ok_whitespace_trailing.safetensors")},
};

ATHANOR_BAD_INPUT(ForeignSafetensors, kForeign);

}  // namespace
}  // namespace athanor::testing
