// Plain and zstd-compressed files.
#include "runtime/data/byte_source.h"

#include <zstd.h>

#include <fstream>
#include <string>
#include <vector>

#include "core/error.h"
#include "runtime/data/json_text.h"

namespace athanor {
namespace {

class PlainFile : public ByteSource {
 public:
  explicit PlainFile(const std::filesystem::path& file)
      : name_(file.string()), in_(file, std::ios::binary) {
    if (!in_) throw Error(ErrorKind::kIo, name_ + ": cannot open: " + last_reason());
  }

  size_t read(std::span<char> block) override {
    if (!in_) return 0;
    in_.read(block.data(), static_cast<std::streamsize>(block.size()));
    if (in_.bad()) throw Error(ErrorKind::kIo, name_ + ": cannot read the file");
    return static_cast<size_t>(in_.gcount());
  }

 private:
  std::string name_;
  std::ifstream in_;
};

class ZstdFile : public ByteSource {
 public:
  explicit ZstdFile(const std::filesystem::path& file)
      : name_(file.string()), in_(file), stream_(ZSTD_createDStream(), &ZSTD_freeDStream) {
    ATHANOR_CHECK(stream_ != nullptr, "memory for a zstd stream");
  }

  size_t read(std::span<char> block) override {
    ZSTD_outBuffer out{block.data(), block.size(), 0};
    while (out.pos < out.size) {
      const size_t before = out.pos + input_.pos;
      const size_t left = ZSTD_decompressStream(stream_.get(), &out, &input_);
      if (ZSTD_isError(left) != 0) {
        throw Error(ErrorKind::kBadInput,
                    name_ + ": not valid zstd data: " + ZSTD_getErrorName(left));
      }
      if (out.pos + input_.pos > before) {
        unfinished_ = left != 0;
        continue;
      }
      input_ = {compressed_.data(), in_.read(compressed_), 0};  // the stream holds nothing back
      if (input_.size > 0) continue;
      if (unfinished_) throw Error(ErrorKind::kBadInput, name_ + ": the zstd data are cut off");
      break;
    }
    return out.pos;
  }

 private:
  std::string name_;
  PlainFile in_;
  std::unique_ptr<ZSTD_DStream, size_t (*)(ZSTD_DStream*)> stream_;
  std::vector<char> compressed_ = std::vector<char>(size_t{1} << 17);
  ZSTD_inBuffer input_{nullptr, 0, 0};
  bool unfinished_ = false;  // inside a frame
};

}  // namespace

std::unique_ptr<ByteSource> open_bytes(const std::filesystem::path& file) {
  if (file.extension() == ".zst") return std::make_unique<ZstdFile>(file);
  return std::make_unique<PlainFile>(file);
}

}  // namespace athanor
