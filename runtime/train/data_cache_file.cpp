#include "runtime/train/data_cache_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>
#include <system_error>
#include <type_traits>

#include "core/error.h"
#include "runtime/checkpoint/content_hash.h"
#include "runtime/io/atomic_file.h"

namespace athanor {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

constexpr std::array<char, 8> kMagic = {'A', 't', 'h', 'D', 'a', 't', 'a', '1'};

struct Sizes {
  int64_t train_samples = 0;
  int64_t train_tokens = 0;
  int64_t eval_samples = 0;
  int64_t eval_tokens = 0;
  int64_t report_bytes = 0;
};

struct Header {
  std::array<char, 8> magic = kMagic;
  std::array<char, kContentHashDigits> key = {};
  std::array<char, kContentHashDigits> hash = {};  // of the sizes and all that follows the header
  Sizes sizes;
  std::array<char, 16> unused = {};
};
static_assert(sizeof(Header) == 128 && std::is_trivially_copyable_v<Header>);

constexpr int64_t padded(int64_t bytes) { return (bytes + 7) / 8 * 8; }

int64_t set_bytes(int64_t samples, int64_t tokens) {
  return 8 * (samples + 1) + 8 * samples + padded(4 * samples) + 2 * padded(4 * tokens);
}

template <class Number>
std::span<const std::byte> bytes_of(const Number& value) {
  return std::as_bytes(std::span(&value, 1));
}

// Every array of a set, in the order of the file.
template <class Visit>
void for_each_array(const SampleSet& set, const Visit& visit) {
  constexpr int64_t kNone[] = {0};
  const SampleSet::Arrays& arrays = set.arrays();
  visit(std::as_bytes(arrays.offsets.empty() ? std::span<const int64_t>(kNone) : arrays.offsets));
  visit(std::as_bytes(arrays.lines));
  visit(std::as_bytes(arrays.files));
  visit(std::as_bytes(arrays.ids));
  visit(std::as_bytes(arrays.labels));
}

// Unmaps in its destructor.
class Mapping {
 public:
  explicit Mapping(const fs::path& file) {
    const auto fail = [&](const char* what) {
      throw Error(ErrorKind::kIo, std::string(what) + " " + file.string() + ": " +
                                      std::generic_category().message(errno));
    };
    const FileDescriptor fd(::open(file.c_str(), O_RDONLY | O_CLOEXEC));
    if (fd.get() < 0) fail("cannot open");
    struct stat info = {};
    if (::fstat(fd.get(), &info) != 0) fail("cannot look at");
    size_ = static_cast<size_t>(info.st_size);
    if (size_ < sizeof(Header)) {
      throw Error(ErrorKind::kBadInput, std::to_string(size_) + " bytes are not even a header");
    }
    void* begin = ::mmap(nullptr, size_, PROT_READ, MAP_SHARED, fd.get(), 0);
    if (begin == MAP_FAILED) fail("cannot map");
    begin_ = static_cast<const std::byte*>(begin);
  }
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;
  ~Mapping() { ::munmap(const_cast<std::byte*>(begin_), size_); }

  std::span<const std::byte> bytes() const { return {begin_, size_}; }

 private:
  const std::byte* begin_ = nullptr;
  size_t size_ = 0;
};

// Arrays one after the other; the sizes have been checked against the file's.
class ArrayReader {
 public:
  explicit ArrayReader(std::span<const std::byte> bytes) : bytes_(bytes) {}

  template <class Number>
  std::span<const Number> take(int64_t count) {
    const auto size = static_cast<size_t>(count) * sizeof(Number);
    const std::span<const Number> array(reinterpret_cast<const Number*>(bytes_.data()),
                                        static_cast<size_t>(count));
    bytes_ = bytes_.subspan(static_cast<size_t>(padded(static_cast<int64_t>(size))));
    return array;
  }

  SampleSet::Arrays set(int64_t samples, int64_t tokens) {
    SampleSet::Arrays arrays;
    arrays.offsets = take<int64_t>(samples + 1);
    arrays.lines = take<int64_t>(samples);
    arrays.files = take<int32_t>(samples);
    arrays.ids = take<int32_t>(tokens);
    arrays.labels = take<int32_t>(tokens);
    if (arrays.offsets.front() != 0 || arrays.offsets.back() != tokens ||
        !std::is_sorted(arrays.offsets.begin(), arrays.offsets.end())) {
      throw Error(ErrorKind::kBadInput, "its samples do not follow one another");
    }
    return arrays;
  }

  std::string_view rest() const {
    return {reinterpret_cast<const char*>(bytes_.data()), bytes_.size()};
  }

 private:
  std::span<const std::byte> bytes_;
};

Json to_json(const DatasetReport& report) {
  Json files = Json::array();
  for (const DatasetFileReport& file : report.files) {
    files.push_back({file.file, file.format, file.records});
  }
  return {{"files", files},
          {"counts",
           {report.records, report.skipped_without_target, report.truncated, report.chats,
            report.last_turn_only, report.double_bos, report.ends_trained, report.bad_records,
            report.tokens, report.target_tokens}},
          {"bad", report.bad}};
}

DatasetReport report_from_json(std::string_view text) {
  DatasetReport report;
  try {
    const Json json = Json::parse(text);
    for (const Json& file : json.at("files")) {
      report.files.push_back({file.at(0), file.at(1), file.at(2)});
    }
    size_t next = 0;
    for (int64_t* count :
         {&report.records, &report.skipped_without_target, &report.truncated, &report.chats,
          &report.last_turn_only, &report.double_bos, &report.ends_trained, &report.bad_records,
          &report.tokens, &report.target_tokens}) {
      *count = json.at("counts").at(next++);
    }
    report.bad = json.at("bad").get<std::vector<std::string>>();
  } catch (const Json::exception& error) {
    throw Error(ErrorKind::kBadInput, std::string("its report is not one: ") + error.what());
  }
  return report;
}

void copy_text(const std::string& text, std::array<char, kContentHashDigits>& out) {
  ATHANOR_CHECK(text.size() == out.size(), "a hash of " + std::to_string(text.size()) + " digits");
  std::copy(text.begin(), text.end(), out.begin());
}

bool sizes_fit(const Sizes& sizes, size_t file_bytes) {
  const auto limit = static_cast<int64_t>(file_bytes);
  for (const int64_t size : {sizes.train_samples, sizes.train_tokens, sizes.eval_samples,
                             sizes.eval_tokens, sizes.report_bytes}) {
    if (size < 0 || size > limit) return false;
  }
  return static_cast<int64_t>(sizeof(Header)) + set_bytes(sizes.train_samples, sizes.train_tokens) +
             set_bytes(sizes.eval_samples, sizes.eval_tokens) + sizes.report_bytes ==
         limit;
}

}  // namespace

void write_cache_file(const fs::path& file, const std::string& key, const SampleSet& train,
                      const SampleSet& eval, const DatasetReport& report) {
  const std::string json = to_json(report).dump();
  Header header;
  copy_text(key, header.key);
  const auto tokens = [](const SampleSet& set) {
    return static_cast<int64_t>(set.arrays().ids.size());
  };
  header.sizes = {train.size(), tokens(train), eval.size(), tokens(eval),
                  static_cast<int64_t>(json.size())};
  ContentHash hash;
  hash.add(bytes_of(header.sizes));
  AtomicFile out(file);
  out.append(bytes_of(header));
  const auto append = [&](std::span<const std::byte> bytes) {
    constexpr std::byte kZeros[8] = {};
    const auto size = static_cast<int64_t>(bytes.size());
    for (const auto& part :
         {bytes, std::span(kZeros).first(static_cast<size_t>(padded(size) - size))}) {
      hash.add(part);
      out.append(part);
    }
  };
  for_each_array(train, append);
  for_each_array(eval, append);
  hash.add(std::as_bytes(std::span(json)));
  out.append(json);
  copy_text(hash.hex(), header.hash);
  out.write_at(0, bytes_of(header));
  out.commit();
}

CachedData read_cache_file(const fs::path& file, const std::string& key) {
  auto mapping = std::make_shared<const Mapping>(file);
  const std::span<const std::byte> bytes = mapping->bytes();
  Header header;
  std::memcpy(&header, bytes.data(), sizeof(header));
  const auto fail = [](const char* what) { throw Error(ErrorKind::kBadInput, what); };
  if (header.magic != kMagic) fail("it does not begin as such a file does");
  if (std::string_view(header.key.data(), header.key.size()) != key) fail("it has another key");
  if (!sizes_fit(header.sizes, bytes.size())) fail("its length is not what its header says");
  ContentHash hash;
  hash.add(bytes_of(header.sizes));
  hash.add(bytes.subspan(sizeof(header)));
  if (std::string_view(header.hash.data(), header.hash.size()) != hash.hex()) {
    fail("its content has another hash");
  }
  ArrayReader reader(bytes.subspan(sizeof(header)));
  CachedData data;
  data.train =
      SampleSet(reader.set(header.sizes.train_samples, header.sizes.train_tokens), mapping);
  data.eval = SampleSet(reader.set(header.sizes.eval_samples, header.sizes.eval_tokens), mapping);
  data.report = report_from_json(reader.rest());
  return data;
}

}  // namespace athanor
